/** The process's open files, shared out: connections are never to take those that its disk needs. */

/** What both ports may take together, of all that the limit leaves. */
export interface ConnectionRoom {
  readonly clients: number;
  readonly peers: number;
}

/**
 * For the log, the state store, snapshots and the connections that this member opens (peer/limits.ts: about fifteen to each
 * other member at most, and those to strangers); etcd keeps as many.
 */
const OWN_FILES = 150;
/** About a dozen from each other member (peer/limits.ts), in a cluster of three. */
const FEWEST_PEERS = 24;
const FEWEST_CLIENTS = 8;

/**
 * Of `limit` open files (Infinity: as many as the system has), at most `wanted`; half for peers, but never fewer than three members need.
 *
 * A connection costs whoever opens it nothing, and without a share of its own one client could have the store's next
 * `open` fail, which ends a member. Throws when what is left would not serve anybody.
 */
export function connectionRoom(limit: number, wanted: ConnectionRoom): ConnectionRoom {
  const left = limit - OWN_FILES;
  if (left < FEWEST_PEERS + FEWEST_CLIENTS) {
    const least = OWN_FILES + FEWEST_PEERS + FEWEST_CLIENTS;
    throw new Error(
      `this process may have only ${limit} files open, and a member needs ${least}: ` +
        "raise it (ulimit -n, LimitNOFILE= of a systemd unit, --ulimit nofile= of docker)",
    );
  }
  const peers = Math.min(wanted.peers, Math.max(FEWEST_PEERS, Math.floor(left / 2)));
  return { peers, clients: Math.min(wanted.clients, left - peers) };
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
