"""Load on the HTTP API with Locust: payments between accounts that are there, balances, and lists.

    npx tallystream generate --transactions 1000 --mix plain --run web --accounts 200   # opens and funds plain:web-0 to plain:web-199
    locust -f loadtest/http/locustfile.py --headless --users 50 --spawn-rate 10 --run-time 60s --host http://127.0.0.1:8080

ACCOUNT_PREFIX and ACCOUNTS name other accounts. Payments go round in small amounts; one that an account can't cover is refused (422) and
counts as a failure.
"""

import os
import random
import uuid

from locust import HttpUser, between, task

PREFIX = os.environ.get("ACCOUNT_PREFIX", "plain:web-")
ACCOUNTS = int(os.environ.get("ACCOUNTS", "200"))
CURRENCY = os.environ.get("CURRENCY", "USD")


def account() -> str:
    return f"{PREFIX}{random.randrange(ACCOUNTS)}"


class Customer(HttpUser):
    """Looks at balances most of the time, pays now and then."""

    wait_time = between(0.05, 0.2)

    @task(8)
    def balance(self) -> None:
        self.client.get(f"/balance/{account()}", name="GET /balance/{id}")

    @task(3)
    def pay(self) -> None:
        """Answered 202 as soon as the payment is in Kafka."""
        self.client.post("/transactions", json=self.payment(), name="POST /transactions")

    @task(1)
    def pay_and_wait(self) -> None:
        """Answered with the outcome."""
        headers = {"prefer": "wait=10"}
        name = "POST /transactions, waiting"
        with self.client.post(
            "/transactions", json=self.payment(), headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code == 202:
                response.failure("no outcome within 10 s")

    @task(1)
    def transactions(self) -> None:
        self.client.get("/transactions?limit=20", name="GET /transactions")

    @staticmethod
    def payment() -> dict[str, str]:
        debit, credit = account(), account()
        while credit == debit:
            credit = account()
        return {
            "id": f"load-{uuid.uuid4().hex}",
            "from": debit,
            "to": credit,
            "amount": f"0.{random.randrange(1, 100):02d}",
            "currency": CURRENCY,
        }
