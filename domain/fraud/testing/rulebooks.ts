/** Rulebooks for tests. */

/** As JSON: an amount above 150.00 EUR gives 70 points; `holds`: 50 points of it hold. */
export const smallRulebook = ({ holds }: { readonly holds: boolean }) => ({
  format: 1,
  name: 'book',
  version: 3,
  rules: [
    {
      id: 'high',
      version: 4,
      title: 'High',
      words: '{value} minor units, limit {threshold}',
      fires: { feature: 'amount', above: { EUR: 15_000 } },
      weight: 70,
      action: 'none',
      mode: 'live',
      onError: 'open',
      author: 'ann',
      approvedBy: 'ben',
    },
  ],
  typologies: holds
    ? [{ id: 'odd', title: 'Odd', rules: ['high'], bands: [{ from: 50, action: 'hold' }] }]
    : [],
})

/** The text of a rulebook whose rules only look: each at one feature, in the shadow. */
export const shadowRulebook = (features: readonly string[]): string =>
  JSON.stringify({
    format: 1,
    name: 'shadows',
    version: 1,
    rules: features.map((feature) => ({
      id: feature,
      version: 1,
      title: feature,
      words: '{value}',
      fires: { feature, above: 1_000_000 },
      weight: 1,
      action: 'alert',
      mode: 'shadow',
      onError: 'open',
      author: 'ann',
    })),
  })
