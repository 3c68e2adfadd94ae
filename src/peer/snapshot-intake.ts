import type { IncomingMessage } from "node:http";
import { DecodeError } from "../../proto/codec.ts";
import type { Message, NodeId } from "../../raft/types.ts";
import type { Env } from "../env.ts";
import { describe } from "./http-client.ts";
import type { PeerLimits } from "./limits.ts";
import { decodeMessage } from "./message-codec.ts";
import { SnapshotBody } from "./snapshot-body.ts";
import type { SnapshotMessage } from "./transport.ts";
import { SnapshotRefusedError } from "./transport.ts";

export type SnapshotOutcome =
  | { readonly kind: "taken" }
  | { readonly kind: "refused"; readonly status: number; readonly text: string; readonly detail?: string }
  /** The sender is gone, or was turned away in the middle: nobody is to be answered. */
  | { readonly kind: "brokeOff"; readonly reason: string };

export interface SnapshotIntakeOptions {
  readonly env: Env;
  readonly limits: PeerLimits;
  readonly memberId: NodeId;
  take(message: SnapshotMessage, file: AsyncIterable<Buffer>): Promise<void>;
}

interface Reception {
  readonly from: NodeId;
  readonly body: SnapshotBody;
  readonly over: Promise<void>;
}

/**
 * Receives one snapshot at a time. A sender that comes again has given up what it sent before, whose connection may take
 * long to be found dead; so, as with streams, the new one takes its place, unless there is nothing left to come of the
 * old one: then that is finished first.
 */
export class SnapshotIntake {
  readonly #options: SnapshotIntakeOptions;
  #current: Reception | undefined;

  constructor(options: SnapshotIntakeOptions) {
    this.#options = options;
  }

  async receive(from: NodeId, request: IncomingMessage): Promise<SnapshotOutcome> {
    const { env, limits } = this.#options;
    const earlier = this.#current;
    if (earlier !== undefined && (earlier.from !== from || earlier.body.isWhole)) {
      return refused(503, "another snapshot is being received");
    }
    const body = new SnapshotBody(env, request, limits.snapshotIdleMs);
    let finish = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const current: Reception = { from, body, over };
    this.#current = current;
    earlier?.body.abandon("its sender began anew");
    try {
      // The server is never given two at a time.
      await earlier?.over;
      const message = await this.#message(from, body);
      if ("kind" in message) return message;
      await this.#options.take(message, body.file());
      return { kind: "taken" };
    } catch (error) {
      return outcomeOf(error, body);
    } finally {
      body.release();
      if (this.#current === current) this.#current = undefined;
      finish();
    }
  }

  async #message(from: NodeId, body: SnapshotBody): Promise<SnapshotMessage | SnapshotOutcome> {
    const { limits, memberId } = this.#options;
    let message: Message;
    try {
      message = decodeMessage(await body.message(limits.snapshotMessageBytes, limits.bodyTimeoutMs));
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      return refused(400, `failed to decode raft message (${error.message})`);
    }
    if (message.type !== "MsgSnap")
      return refused(400, `unexpected raft message type ${message.type} on snapshot path`);
    if (message.to !== memberId) return refused(412, "to field mismatch");
    if (message.from !== from) return refused(400, "from field mismatch");
    return message;
  }
}

function outcomeOf(error: unknown, body: SnapshotBody): SnapshotOutcome {
  if (body.isBroken) return { kind: "brokeOff", reason: describe(error) };
  if (error instanceof SnapshotRefusedError) return refused(error.status, error.message);
  return refused(500, "failed to take the snapshot", describe(error));
}

function refused(status: number, text: string, detail?: string): SnapshotOutcome {
  return { kind: "refused", status, text, ...(detail === undefined ? {} : { detail }) };
}
