/** What a repair (`audit outputs --repair`) publishes stands behind its turn, and says so in a header of this name: its batch. */
export const REPAIR_HEADER = 'repaired'
