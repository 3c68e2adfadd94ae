/** What the server says about itself, one line a call. Fields go out as they are: ids as lower-case hex text. */
export interface Logger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}
