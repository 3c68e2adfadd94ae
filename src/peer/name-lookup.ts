import type { LookupAddress } from "node:dns";
import * as dns from "node:dns";
import type { LookupFunction } from "node:net";
import type { Env, Timer } from "../env.ts";

export type ResolveName = (
  hostname: string,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** Two of the process's four worker threads stay for the disk. */
const LOOKUPS_IN_FLIGHT = 2;
/** A resolver that takes longer is not worth waiting for while an address is known that worked. */
const PATIENCE_MS = 500;

interface Waiting {
  readonly all: boolean;
  readonly callback: Parameters<LookupFunction>[2];
}

/**
 * Looks up the names of peers. A lookup holds one of the few worker threads, the same that fdatasync runs on, for as long
 * as the resolver takes: 10 s and more when it does not answer, which a member that is cut off meets at every dial. So
 * there is one lookup a name, whoever asks, and few at a time; and the address that was found last serves when the
 * resolver is slow or fails, for a network that is back should not wait for it. (An address that belongs to somebody else
 * by now does no harm: both sides of a connection say who they are.)
 */
export class NameLookup {
  readonly #env: Env;
  readonly #resolve: ResolveName;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #queue: string[] = [];
  readonly #known = new Map<string, readonly LookupAddress[]>();
  #inFlight = 0;

  constructor(env: Env, resolve: ResolveName = (name, callback) => dns.lookup(name, { all: true }, callback)) {
    this.#env = env;
    this.#resolve = resolve;
  }

  /** For the `lookup` option of a socket. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    let pending = true;
    let patience: Timer | undefined;
    const once: Waiting["callback"] = (...answer) => {
      if (!pending) return;
      pending = false;
      patience?.cancel();
      callback(...answer);
    };
    const all = options.all === true;
    const known = this.#known.get(hostname);
    if (known !== undefined) patience = this.#env.setTimer(() => give({ all, callback: once }, known), PATIENCE_MS);
    this.#ask(hostname, { all, callback: once });
  };

  #ask(hostname: string, waiting: Waiting): void {
    const others = this.#waiting.get(hostname);
    if (others !== undefined) {
      others.push(waiting);
      return;
    }
    this.#waiting.set(hostname, [waiting]);
    this.#queue.push(hostname);
    this.#next();
  }

  #next(): void {
    if (this.#inFlight >= LOOKUPS_IN_FLIGHT) return;
    const hostname = this.#queue.shift();
    if (hostname === undefined) return;
    this.#inFlight++;
    this.#resolve(hostname, (error, addresses) => {
      this.#inFlight--;
      const found = error === null && addresses.length > 0;
      if (found) this.#known.set(hostname, addresses);
      const usable = found ? addresses : this.#known.get(hostname);
      const everybody = this.#waiting.get(hostname) ?? [];
      this.#waiting.delete(hostname);
      this.#next();
      for (const waiting of everybody) {
        if (usable !== undefined) give(waiting, usable);
        else waiting.callback(error ?? notFound(hostname), "", 0);
      }
    });
  }
}

function give({ all, callback }: Waiting, addresses: readonly LookupAddress[]): void {
  const [first] = addresses;
  if (all) callback(null, [...addresses]);
  else callback(null, first?.address ?? "", first?.family ?? 0);
}

function notFound(hostname: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`no address for ${hostname}`), { code: "ENOTFOUND", hostname });
}
