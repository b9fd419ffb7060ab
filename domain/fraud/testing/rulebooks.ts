/** A rulebook as JSON for tests: an amount above 150.00 EUR gives 70 points; `holds`: 50 points of it hold. */
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
