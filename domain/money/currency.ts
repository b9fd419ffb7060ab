/** ISO 4217 currencies: alphabetic code, numeric code, and exponent (decimal places of the minor unit). */

export interface Currency {
  /** Three capital letters, for example `EUR`. */
  readonly code: string
  /** Numeric code, for example 978; what the database keeps. */
  readonly numeric: number
  /** Decimal places of the minor unit: 2 for EUR, 0 for JPY, 3 for KWD, 4 for CLF. */
  readonly exponent: number
}

/*
 * Source: ISO 4217 List One (currency and funds codes), maintained by SIX Group, https://www.six-group.com/en/products-services/financial-information/data-standards.html,
 * as of amendment 180 (in force since 2026-01-01). Codes whose minor unit is "N.A." (precious metals, XDR, XSU, XUA, the bond units,
 * XTS, XXX) are left out on purpose: without an exponent an amount in minor units has no meaning.
 * A line is never taken out once released, even when its currency is withdrawn: an old record must be decided the same on replay.
 */
const EXPONENT_0 =
  'BIF108 CLP152 DJF262 GNF324 ISK352 JPY392 KMF174 KRW410 PYG600 RWF646 UGX800 UYI940 VND704 VUV548 XAF950 XOF952 XPF953'
const EXPONENT_2 = `AED784 AFN971 ALL008 AMD051 AOA973 ARS032 AUD036 AWG533 AZN944 BAM977 BBD052 BDT050 BMD060 BND096 BOB068 BOV984 BRL986
  BSD044 BTN064 BWP072 BYN933 BZD084 CAD124 CDF976 CHE947 CHF756 CHW948 CNY156 COP170 COU970 CRC188 CUP192 CVE132 CZK203 DKK208 DOP214
  DZD012 EGP818 ERN232 ETB230 EUR978 FJD242 FKP238 GBP826 GEL981 GHS936 GIP292 GMD270 GTQ320 GYD328 HKD344 HNL340 HTG332 HUF348 IDR360
  ILS376 INR356 IRR364 JMD388 KES404 KGS417 KHR116 KPW408 KYD136 KZT398 LAK418 LBP422 LKR144 LRD430 LSL426 MAD504 MDL498 MGA969 MKD807
  MMK104 MNT496 MOP446 MRU929 MUR480 MVR462 MWK454 MXN484 MXV979 MYR458 MZN943 NAD516 NGN566 NIO558 NOK578 NPR524 NZD554 PAB590 PEN604
  PGK598 PHP608 PKR586 PLN985 QAR634 RON946 RSD941 RUB643 SAR682 SBD090 SCR690 SDG938 SEK752 SGD702 SHP654 SLE925 SOS706 SRD968 SSP728
  STN930 SVC222 SYP760 SZL748 THB764 TJS972 TMT934 TOP776 TRY949 TTD780 TWD901 TZS834 UAH980 USD840 USN997 UYU858 UZS860 VED926 VES928
  WST882 XAD396 XCD951 XCG532 YER886 ZAR710 ZMW967 ZWG924`
const EXPONENT_3 = 'BHD048 IQD368 JOD400 KWD414 LYD434 OMR512 TND788'
const EXPONENT_4 = 'CLF990 UYW927'

const parseCurrencies = (lines: string, exponent: number): Currency[] =>
  lines.split(/\s+/).map((entry) => ({ code: entry.slice(0, 3), numeric: Number(entry.slice(3)), exponent }))

/** Every currency known, by exponent and code. */
export const CURRENCIES: readonly Currency[] = [
  ...parseCurrencies(EXPONENT_0, 0),
  ...parseCurrencies(EXPONENT_2, 2),
  ...parseCurrencies(EXPONENT_3, 3),
  ...parseCurrencies(EXPONENT_4, 4),
]

const byCode = new Map(CURRENCIES.map((currency) => [currency.code, currency]))
const byNumeric = new Map(CURRENCIES.map((currency) => [currency.numeric, currency]))

/** The currency of an alphabetic code (capital letters only), or undefined. */
export const currencyByCode = (code: string): Currency | undefined => byCode.get(code)

/** The currency of a numeric code, or undefined. */
export const currencyByNumeric = (numeric: number): Currency | undefined => byNumeric.get(numeric)
