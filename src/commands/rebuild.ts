import { parseArgs } from "node:util";
import { openLevelBackend } from "../../storage/level-backend.ts";
import { nodeDisk } from "../../storage/node-disk.ts";
import { WalDamagedError } from "../../storage/wal.ts";
import { flags } from "../flags.ts";
import { hexId } from "../server/ids.ts";
import { rebuildState } from "../server/rebuild.ts";
import { grpcStateSource } from "./state-source.ts";

const USAGE = `Usage: quorate rebuild --data-dir DIR --endpoints URL[,URL]

  Gives a stopped member whose state store is damaged or gone the state of
  another member of its cluster, which must run. The member's log must be
  sound: it is kept, with all that this member has promised. The damaged
  store is moved aside, not deleted.

  --data-dir          the member's data directory
  --wal-dir           its log, if that is elsewhere
  --endpoints         client URLs of other members, asked one after the other
  --wal-segment-bytes as the member is started with
  --help              print this and exit
`;

/** Resolves with the exit code. */
export async function rebuild(words: readonly string[]): Promise<number> {
  let given: Partial<Record<"data-dir" | "wal-dir" | "endpoints" | "wal-segment-bytes", string>>;
  try {
    const option = { type: "string" } as const;
    const { values } = parseArgs({
      args: [...words],
      options: {
        "data-dir": option,
        "wal-dir": option,
        endpoints: option,
        "wal-segment-bytes": option,
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help === true) return print(process.stdout, USAGE, 0);
    given = values;
  } catch (error) {
    return print(process.stderr, `${error instanceof Error ? error.message : error}\n\n${USAGE}`, 2);
  }
  const { "data-dir": dataDir, endpoints } = given;
  if (dataDir === undefined || endpoints === undefined) {
    return print(process.stderr, `--data-dir and --endpoints are needed\n\n${USAGE}`, 2);
  }
  const memberDir = `${dataDir}/member`;
  const segmentBytes = Number(
    given["wal-segment-bytes"] ?? flags.find(({ name }) => name === "wal-segment-bytes")?.fallback,
  );
  const sources = endpoints.split(",").map((endpoint) => grpcStateSource(endpoint.trim()));
  try {
    const { memberId, from, point, startsAnew, aside } = await rebuildState(
      { memberDir, walDir: given["wal-dir"] ?? `${memberDir}/wal`, walOptions: { segmentBytes } },
      sources,
      {
        disk: nodeDisk,
        openBackend: (path) => openLevelBackend(path),
        say: (text) => process.stderr.write(`${text}\n`),
        time: new Date().toISOString().replaceAll(/[-:]|\.\d+/g, ""),
      },
    );
    const log = startsAnew ? "Its log begins anew behind that entry." : "Its log goes on behind that entry.";
    const moved = aside === undefined ? "" : `The damaged store is now ${aside}.\n`;
    return print(
      process.stdout,
      `Member ${hexId(memberId)} has the state of ${from} at entry ${point.index}, term ${point.term}.\n${log}\n${moved}` +
        "Start it as ever.\n",
      0,
    );
  } catch (error) {
    if (error instanceof WalDamagedError) {
      return print(
        process.stderr,
        `The log of this member is damaged, not only its state; rebuild heals no log. ${error.message}\n`,
        1,
      );
    }
    return print(process.stderr, `Not rebuilt: ${error instanceof Error ? error.message : error}\n`, 1);
  } finally {
    for (const source of sources) source.close();
  }
}

function print(stream: NodeJS.WriteStream, text: string, code: number): number {
  stream.write(text);
  return code;
}
