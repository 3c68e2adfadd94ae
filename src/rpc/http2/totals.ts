/** What is held for clients, of one connection or of all of them together. */
export interface Totals {
  /** Response bytes that no socket has taken. */
  unsentBytes: number;
  /** Taken for messages that have not come whole, and for headers and requests of calls that run. */
  receivingBytes: number;
  /** Open ones. */
  streams: number;
}
