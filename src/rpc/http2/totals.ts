/** What is held for clients, of one connection or of all of them together. */
export interface Totals {
  /** Response bytes that no socket has taken. */
  unsentBytes: number;
  /** Taken for messages that have not come whole. */
  receivingBytes: number;
  /** Open ones. */
  streams: number;
}
