import { parseArgs } from "node:util";
import { WalDamagedError } from "../../storage/wal.ts";
import { parseConfig } from "../config.ts";
import { ConfigError } from "../flag-values.ts";
import { memberDirOf } from "../server/bootstrap.ts";
import { hexId } from "../server/ids.ts";
import { type Rebuilt, rebuildState } from "../server/rebuild.ts";
import type { CommandDeps } from "./commands.ts";

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
export async function rebuild(words: readonly string[], deps: CommandDeps): Promise<number> {
  let endpoints: string;
  let flags: readonly string[];
  try {
    const text = { type: "string" } as const;
    const { values } = parseArgs({
      args: [...words],
      options: {
        "data-dir": text,
        "wal-dir": text,
        "wal-segment-bytes": text,
        endpoints: text,
        help: { type: "boolean", short: "h" },
      },
    });
    const { help, endpoints: asked, ...places } = values;
    if (help === true) {
      deps.out(USAGE);
      return 0;
    }
    if (places["data-dir"] === undefined || asked === undefined)
      throw new Error("--data-dir and --endpoints are needed");
    if (/(^|,)\s*https:/i.test(asked)) {
      throw new Error("--endpoints: https:// is not supported yet: name a member that has an http:// client URL, too");
    }
    endpoints = asked;
    flags = Object.entries(places).map(([name, value]) => `--${name}=${value}`);
  } catch (error) {
    deps.err(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    return 2;
  }
  const sources = endpoints.split(",").map((endpoint) => deps.openSource(endpoint.trim()));
  try {
    const parsed = parseConfig(flags, {}, () => "");
    if (parsed.kind !== "run") throw new ConfigError(`no directories in ${flags.join(" ")}`);
    const { config } = parsed;
    const walOptions = { segmentBytes: config.walSegmentBytes };
    const rebuilt = await rebuildState({ memberDir: memberDirOf(config), walDir: config.walDir, walOptions }, sources, {
      disk: deps.disk,
      openBackend: deps.openBackend,
      say: (text) => deps.err(`${text}\n`),
      signal: deps.interruption(),
      time: deps.wallTime().replaceAll(/[-:]|\.\d+/g, ""),
    });
    deps.out(resultOf(rebuilt));
    return 0;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const what = error instanceof WalDamagedError ? "the log is damaged, and rebuild heals no log. " : "";
    deps.err(`Not rebuilt: ${what}${message}\n`);
    return 1;
  } finally {
    for (const source of sources) source.close();
  }
}

function resultOf({ memberId, from, point, startsAnew, aside }: Rebuilt): string {
  return [
    `Member ${hexId(memberId)} has the state of ${from} at entry ${point.index}, term ${point.term}.`,
    startsAnew ? "Its log begins anew behind that entry." : "Its log goes on behind that entry.",
    ...(aside === undefined ? [] : [`The damaged store is now ${aside}.`]),
    "Start it as ever.",
    "",
  ].join("\n");
}
