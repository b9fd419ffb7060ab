/** What a measure needs isn't on this machine: it is left out, and said so. */
export class MeasureUnavailable extends Error {}
