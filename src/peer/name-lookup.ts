import type { LookupAddress } from "node:dns";
import * as dns from "node:dns";
import type { LookupFunction } from "node:net";
import type { Env, Timer } from "../env.ts";

export type ResolveName = (
  hostname: string,
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** A resolver that takes longer is not worth waiting for while an address is known that worked. */
const PATIENCE_MS = 500;

interface Waiting {
  readonly all: boolean;
  readonly callback: Parameters<LookupFunction>[2];
}

/**
 * Looks up the names of peers. A resolver that does not answer takes 10 s and more, which a member that is cut off meets
 * at every dial, and dials come faster than that: they would queue up behind each other, and a network that is back would
 * wait for the whole queue. So there is one lookup a name at a time, whoever asks (the waiting are the dials of those
 * seconds, at most ten a second and stream), and the address that was found last serves when the resolver is slow or
 * fails. That address may be somebody else's by now: both sides of a connection say who they are, and a port that is
 * closed there is no more than a reason to ask for pre-votes.
 */
export class NameLookup {
  readonly #env: Env;
  readonly #resolve: ResolveName;
  readonly #waiting = new Map<string, Waiting[]>();
  readonly #known = new Map<string, readonly LookupAddress[]>();

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
    this.#resolve(hostname, (error, addresses) => {
      const found = error === null && addresses.length > 0;
      if (found) this.#known.set(hostname, addresses);
      const usable = found ? addresses : this.#known.get(hostname);
      const everybody = this.#waiting.get(hostname) ?? [];
      this.#waiting.delete(hostname);
      for (const each of everybody) {
        if (usable !== undefined) give(each, usable);
        else each.callback(error ?? notFound(hostname), "", 0);
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
