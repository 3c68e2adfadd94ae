import type { Mutant } from "./mutant.ts";

/** Watches: from now on, from the past, progress, compaction. */
export const watchMutants: readonly Mutant[] = [
  {
    name: "catch-up-skips-a-revision",
    file: "src/watch/watch-hub.ts",
    from: `watcher.next = Math.max(watcher.next, end);`,
    to: `watcher.next = Math.max(watcher.next, end + 1);`,
    why: "Between history and the present a revision is lost.",
    seenBy: ["watch"],
  },
  {
    name: "catch-up-repeats",
    file: "src/watch/batches.ts",
    from: `return event.revision.main >= watcher.next && !(event`,
    to: `return !(event`,
    why: "A watcher that is served together with one further behind, or whose start lies ahead, gets what it did not ask for.",
    seenBy: ["watch"],
  },
  {
    name: "watch-from-the-current-revision-misses-it",
    file: "src/watch/watch-hub.ts",
    from: `else if (watcher.next <= this.#current) this.#fallBehind(watcher, watcher.next);`,
    to: `else if (watcher.next < this.#current) this.#fallBehind(watcher, watcher.next);`,
    why: "A watch from exactly the current revision never gets that one.",
    seenBy: ["watch"],
  },
  {
    name: "watch-from-now-repeats-the-last",
    file: "src/watch/watch-hub.ts",
    from: `next: startRevision === 0 ? this.#current + 1 : startRevision,`,
    to: `next: startRevision === 0 ? this.#current : startRevision,`,
    why: "A watch from now on begins with the revision that its creation was answered with.",
    seenBy: ["watch"],
  },
  {
    name: "progress-of-a-watch-that-catches-up",
    file: "src/watch/watch-hub.ts",
    from: `return watcher.state === "synced" && watcher.startRevision <= this.#current;`,
    to: `return watcher.state !== "dead" && watcher.startRevision <= this.#current;`,
    why: "Progress up to a revision is told to a watch that still lacks events before it.",
    seenBy: ["watch"],
  },
  {
    name: "watch-at-the-compact-revision-canceled",
    file: "src/watch/watch-hub.ts",
    from: `if (watcher.next < this.#source.compactRevision) this.#kill(watcher);`,
    to: `if (watcher.next <= this.#source.compactRevision) this.#kill(watcher);`,
    why: "A watch from exactly the compact revision can be served (W-6), and is refused.",
    seenBy: ["watch"],
  },
  {
    name: "watch-jumps-over-a-compaction",
    file: "src/watch/watch-hub.ts",
    from: `    if (watcher.next < this.#source.compactRevision) this.#kill(watcher);
    else if (watcher.next <= this.#current)`,
    to: `    watcher.next = Math.max(watcher.next, this.#source.compactRevision);
    if (watcher.next <= this.#current)`,
    why: "A watch from a compacted revision begins behind the compaction and does not say what it left out.",
    seenBy: ["watch"],
  },
  {
    name: "compaction-does-not-cancel-a-watch-that-catches-up",
    file: "src/watch/watch-hub.ts",
    from: `      else if (watcher.next < compactRevision) this.#kill(watcher);\n`,
    to: "",
    why: "History is asked for what a compaction has taken since the watch was created.",
    seenBy: ["member", "watch"],
  },
  {
    name: "filters-swapped",
    file: "src/watch/batches.ts",
    from: `(event.type === "put" ? watcher.noPut : watcher.noDelete);`,
    to: `(event.type === "put" ? watcher.noDelete : watcher.noPut);`,
    why: "A watch without deletes gets them, and no puts.",
    seenBy: ["watch"],
  },
  {
    name: "canceled-watch-goes-on",
    file: "src/watch/watch-hub.ts",
    from: `if (watcher.state === "synced") this.#synced.delete(watcher);`,
    to: `if (watcher.state !== "synced") this.#synced.delete(watcher);`,
    why: "Events follow the answer that the watch was canceled.",
    seenBy: ["watch"],
  },
  {
    name: "interval-hidden-by-a-rotation",
    file: "src/watch/interval-tree.ts",
    from: `  node.right = top.left;
  top.left = node;
  refresh(node);
  refresh(top);`,
    to: `  node.right = top.left;
  top.left = node;
  refresh(node);`,
    why: "After a rotation the tree's top does not know how far the intervals below it reach: a wide watch misses keys.",
    seenBy: ["watch"],
  },
  {
    name: "catch-up-not-begun",
    file: "src/watch/watch-hub.ts",
    from: `else if (watcher.next <= this.#current) this.#fallBehind(watcher, watcher.next);
    this.#arm();`,
    to: `else if (watcher.next <= this.#current) this.#fallBehind(watcher, watcher.next);`,
    why: "A lost wake-up: a watch from the past gets nothing before somebody writes again.",
    seenBy: ["watch", "liveness"],
  },
  {
    name: "progress-request-never-answered",
    file: "src/watch/watch-hub.ts",
    from: `if (live > 0 && stream.accepts) stream.tell(progressReply(this.#current));`,
    to: `if (live < 0 && stream.accepts) stream.tell(progressReply(this.#current));`,
    why: "W-11: whoever waits until it has seen everything up to now waits for ever.",
    seenBy: ["watch"],
  },
  {
    name: "dead-watch-blocks-progress",
    file: "src/watch/watch-hub.ts",
    from: `      if (watcher.state === "dead") continue;
      if (!this.#isCurrent(watcher)) return;
      live++;`,
    to: `      if (!this.#isCurrent(watcher)) return;
      live++;`,
    why: "W-11: one watch that a compaction overtook, and no other on its stream ever hears of progress again (as in etcd).",
    seenBy: ["watch"],
  },
];
