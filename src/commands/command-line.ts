import { parseArgs } from "node:util";
import { type Config, checkInitialCluster, parseConfig } from "../config.ts";
import { ConfigError } from "../flag-values.ts";

/** A command line that makes no sense; `exitCode` as etcdutl's. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly exitCode: 1 | 128;
  constructor(message: string, exitCode: 1 | 128 = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

export interface Arguments {
  /** What the data comes from. */
  readonly source: string;
  /** Of the member that is made. */
  readonly config: Config;
  /** 0: the revision stays as it is. */
  readonly bumpRevision: number;
  readonly skipHashCheck: boolean;
  /** Where the log of an etcd lies. */
  readonly etcdWalDir: string | undefined;
}

export type ParsedArguments =
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "run"; readonly args: Arguments };

interface Option {
  readonly name: string;
  readonly kind: "text" | "number" | "bool";
  readonly fallback: string;
  readonly help: string;
}

export interface CommandName {
  readonly name: "restore" | "import";
  readonly usage: string;
  readonly about: readonly string[];
  readonly noSource: string;
}

/** The flags of `etcdutl snapshot restore`, with its defaults. */
const shared: readonly Option[] = [
  { name: "data-dir", kind: "text", fallback: "", help: "the directory to make (required); it must not hold anything" },
  { name: "wal-dir", kind: "text", fallback: "", help: "where the log goes (default: DATA-DIR/member/wal)" },
  { name: "name", kind: "text", fallback: "default", help: "name of this member" },
  {
    name: "initial-cluster",
    kind: "text",
    fallback: "default=http://localhost:2380",
    help: "all members of the new cluster: n1=url,n2=url",
  },
  {
    name: "initial-cluster-token",
    kind: "text",
    fallback: "etcd-cluster",
    help: "makes the ids of this cluster differ from others'",
  },
  {
    name: "initial-advertise-peer-urls",
    kind: "text",
    fallback: "http://localhost:2380",
    help: "peer URLs of this member, as in --initial-cluster",
  },
  {
    name: "bump-revision",
    kind: "number",
    fallback: "0",
    help: "how much to raise the latest revision, for clients that remember revisions of the time after the backup",
  },
  {
    name: "mark-compacted",
    kind: "bool",
    fallback: "false",
    help: "compact up to the raised revision, so that those clients notice (required with --bump-revision)",
  },
];

const own: Readonly<Record<CommandName["name"], readonly Option[]>> = {
  restore: [
    {
      name: "skip-hash-check",
      kind: "bool",
      fallback: "false",
      help: "take a file without a checksum, such as the db of a data directory",
    },
  ],
  import: [
    { name: "etcd-wal-dir", kind: "text", fallback: "", help: "etcd's --wal-dir (default: ETCD-DATA-DIR/member/wal)" },
  ],
};

export function usageOf(command: CommandName): string {
  const lines = [`Usage: quorate ${command.usage} --data-dir DIR [flags]`, "", ...command.about, ""];
  for (const { name, kind, fallback, help } of [...shared, ...own[command.name]]) {
    lines.push(`  --${name}${kind === "bool" || fallback === "" ? "" : ` '${fallback}'`}`, `        ${help}`);
  }
  lines.push("  --help", "        print this and exit");
  return lines.join("\n");
}

/** Throws UsageError and ConfigError. */
export function parseArguments(command: CommandName, words: readonly string[]): ParsedArguments {
  const options = [...shared, ...own[command.name]];
  const kinds = new Map(options.map(({ name, kind }) => [name, kind]));
  const parsed = parseArgs({
    args: words.map((word) => (word === "-h" ? "--help" : word)),
    options: Object.fromEntries(
      [...options, { name: "help", kind: "bool" }].map(({ name, kind }) => [
        name,
        { type: kind === "bool" ? ("boolean" as const) : ("string" as const) },
      ]),
    ),
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const sources: string[] = [];
  const given = new Map<string, string>();
  for (const token of parsed.tokens) {
    if (token.kind === "positional") sources.push(token.value);
    if (token.kind !== "option") continue;
    const { name, value } = token;
    if (name === "help") return { kind: "help", text: usageOf(command) };
    const kind = kinds.get(name);
    if (kind === undefined) throw new UsageError(`unknown flag: ${token.rawName} (--help says which there are)`);
    if (kind !== "bool" && value === undefined) throw new UsageError(`flag needs an argument: --${name}`);
    given.set(name, value ?? "true");
  }
  const value = (name: string): string =>
    given.get(name) ?? options.find((option) => option.name === name)?.fallback ?? "";
  if (value("data-dir") === "") throw new UsageError('required flag(s) "data-dir" not set');
  const [source] = sources;
  if (source === undefined || sources.length !== 1) throw new UsageError(command.noSource, 128);
  const bumpRevision = numberOf("bump-revision", value("bump-revision"));
  if (bumpRevision > 0 !== boolOf("mark-compacted", value("mark-compacted"))) {
    throw new UsageError(
      bumpRevision > 0
        ? "--mark-compacted required if --bump-revision > 0"
        : "--mark-compacted has a meaning only with --bump-revision > 0",
      128,
    );
  }
  const etcdWalDir = value("etcd-wal-dir");
  return {
    kind: "run",
    args: {
      source,
      config: configOf(value),
      bumpRevision,
      skipHashCheck: boolOf("skip-hash-check", value("skip-hash-check") || "false"),
      etcdWalDir: etcdWalDir === "" ? undefined : etcdWalDir,
    },
  };
}

function configOf(value: (name: string) => string): Config {
  const names = ["name", "data-dir", "wal-dir", "initial-cluster", "initial-cluster-token"];
  const words = [...names, "initial-advertise-peer-urls"].map((name) => `--${name}=${value(name)}`);
  const parsed = parseConfig(words, {}, () => "");
  if (parsed.kind !== "run") throw new ConfigError(`no configuration in ${words.join(" ")}`);
  checkInitialCluster(parsed.config);
  return parsed.config;
}

function numberOf(flag: string, text: string): number {
  const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: not a whole number from 0 to 2^53 - 1`);
}

function boolOf(flag: string, text: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(text)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(text)) return false;
  throw new UsageError(`invalid argument "${text}" for "--${flag}" flag: not true or false`);
}
