/** A request for one of the plain HTTP endpoints, whichever HTTP brought it. Nobody reads its body. */
export interface PlainRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** The header of this name, the only one that any endpoint looks at: who waits holds no others. */
  readonly origin: string | undefined;
}

export interface PlainAnswer {
  readonly status: number;
  /** Beside content-length, which whoever sends it adds. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** `gone`: nobody waits for the answer any more. Whatever it throws is a fault of ours. */
export type PlainHandler = (request: PlainRequest, gone: AbortSignal) => Promise<PlainAnswer>;

/** The answer to a request that comes while the member stops. */
export const STOPPED: PlainAnswer = { status: 503, headers: {}, body: "" };

/** The answer to a request for which there is no room. */
export const TOO_MUCH_HELD: PlainAnswer = {
  status: 503,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: "quorate: too many bytes of unfinished requests are held for clients\n",
};

/** The answer to a request whose handler threw. */
export const INTERNAL_ERROR: PlainAnswer = {
  status: 500,
  headers: { "content-type": "text/plain; charset=utf-8" },
  body: "Internal Server Error\n",
};
