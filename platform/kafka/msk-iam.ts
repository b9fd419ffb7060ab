/**
 * Tokens for MSK with IAM (SASL mechanism OAUTHBEARER), kept until shortly before they expire.
 *
 * Signing is local but asks the credential provider, which may be a metadata service: one token serves all connections.
 * Unit-tested only: there is no MSK to test against outside of AWS.
 */
import { generateAuthToken } from 'aws-msk-iam-sasl-signer-js'
import { OperatingError } from '#platform/errors.ts'

export interface SignedToken {
  token: string
  /** Milliseconds since 1970. */
  expiryTime: number
}

export interface TokenSourceOptions {
  region: string
  /** Makes a token; the AWS signer with the default credential chain where absent. */
  sign?: (options: { region: string }) => Promise<SignedToken>
  nowMs?: () => number
  /** A token is used no longer than until so long before its end. Tokens live 15 minutes. */
  marginMs?: number
  signTimeoutMs?: number
}

/**
 * A provider as kafkajs calls it on each (re-)authentication.
 * @throws OperatingError `kafka_token_unavailable`, retriable, where signing fails or takes too long
 */
export function makeMskTokenSource(options: TokenSourceOptions): () => Promise<{ value: string }> {
  const {
    region,
    sign = generateAuthToken,
    nowMs = Date.now,
    marginMs = 60_000,
    signTimeoutMs = 10_000,
  } = options
  let current: SignedToken | undefined
  let signing: Promise<SignedToken> | undefined

  async function renew(): Promise<SignedToken> {
    let timer: NodeJS.Timeout | undefined
    try {
      const timeout = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => reject(new Error(`no token within ${signTimeoutMs} ms`)), signTimeoutMs)
      })
      current = await Promise.race([sign({ region }), timeout])
      return current
    } catch (error) {
      const message = `signing an MSK token failed: ${error instanceof Error ? error.message : String(error)}`
      throw new OperatingError('kafka_token_unavailable', message, { retriable: true, cause: error })
    } finally {
      clearTimeout(timer)
      signing = undefined
    }
  }

  return async () => {
    if (current !== undefined && nowMs() < current.expiryTime - marginMs) return { value: current.token }
    // Connections are opened in parallel: they share one signature.
    signing ??= renew()
    return { value: (await signing).token }
  }
}
