/** The process's open files, shared out: connections are never to take those that its disk needs. */

export interface ConnectionRoom {
  /** Of clients, on all their URLs. */
  readonly clients: number;
  /** From other members, on all peer URLs. */
  readonly peers: number;
  /** To one other member, for calls on behalf of clients: nearly all go to the leader. */
  readonly calls: number;
}

/**
 * For the log, the state store, snapshots and what this member opens to others beside calls (about seven connections each,
 * and sixteen to strangers: peer/limits.ts); etcd keeps as many.
 */
const OWN_FILES = 150;
/** The least that a member works with. Peers: about a dozen from each other member of a cluster of three. */
const FEWEST: ConnectionRoom = { clients: 8, peers: 24, calls: 8 };

/**
 * Of `limit` open files (Infinity: as many as the system has), at most `wanted`: a sixteenth of what the member itself
 * does not need for calls, half for peers, the rest for clients.
 *
 * A connection costs whoever opens it nothing, and without a share of its own one client could have the store's next
 * `open` fail, which ends a member. Throws when what is left would not serve anybody.
 */
export function connectionRoom(limit: number, wanted: ConnectionRoom): ConnectionRoom {
  const least = OWN_FILES + FEWEST.clients + FEWEST.peers + FEWEST.calls;
  if (limit < least) {
    throw new Error(
      `this process may have only ${limit} files open, and a member needs ${least}: ` +
        "raise it (ulimit -n, LimitNOFILE= of a systemd unit, --ulimit nofile= of docker)",
    );
  }
  const left = limit - OWN_FILES;
  const calls = Math.min(wanted.calls, Math.max(FEWEST.calls, Math.floor(left / 16)));
  const peers = Math.min(wanted.peers, Math.max(FEWEST.peers, Math.floor((left - calls) / 2)));
  return { calls, peers, clients: Math.min(wanted.clients, left - calls - peers) };
}

/** Node raises what it may have to what it may ask for when it starts: this is then the hard limit. */
export function openFilesLimit(): number {
  // No socket is open yet: a report would look up the names of those at the other ends.
  const { userLimits } = process.report.getReport() as {
    // Not on Windows.
    readonly userLimits?: { readonly open_files: { readonly soft: number | "unlimited" } };
  };
  const soft = userLimits?.open_files.soft ?? "unlimited";
  return soft === "unlimited" ? Number.POSITIVE_INFINITY : soft;
}
