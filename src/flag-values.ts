/** What the value of a flag means, and what is said of one that means nothing. */
import { type Flag, flagOf, usage } from "./flags.ts";
import { isHttps } from "./urls.ts";

export interface PeerSpec {
  readonly name: string;
  readonly urls: readonly string[];
}

export type AutoCompactionConfig =
  | { readonly mode: "off" }
  | { readonly mode: "periodic"; readonly periodMs: number }
  | { readonly mode: "revision"; readonly revisions: number };

/** For the https:// addresses in --listen-client-urls. */
export interface ClientTlsConfig {
  readonly certFile: string;
  readonly keyFile: string;
  readonly trustedCaFile: string | undefined;
  /** --client-cert-auth, or --trusted-ca-file by itself (T-1). */
  readonly clientCertRequired: boolean;
}

const HOUR_MS = 3_600_000;
/** Each tenth of it the revision is looked at. */
const MIN_AUTO_COMPACTION_MS = 100;

export class ConfigError extends Error {
  override readonly name = "ConfigError";
  /** O-4: 2 for the command line, 1 for everything else. */
  readonly exitCode: 1 | 2;
  constructor(message: string, exitCode: 1 | 2 = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A value that its flag cannot have; on the command line that is a mistake of typing, with usage and exit code 2. */
export class FlagValueError extends ConfigError {
  readonly flag: string;
  readonly value: string;
  readonly why: string;
  constructor(flag: string, value: string, why: string) {
    super(`invalid value "${value}" for flag -${flag}: ${why}\n\n${usage()}`, 2);
    this.flag = flag;
    this.value = value;
    this.why = why;
  }
}

function invalid(flag: Flag, value: string, why: string): ConfigError {
  return new FlagValueError(flag.name, value, why);
}

export function parseInteger(flag: Flag, value: string, min: number, max: number): number {
  const form = min < 0 ? /^-?\d+$/ : /^\d+$/;
  const number = form.test(value) ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) throw invalid(flag, value, "not a whole number");
  if (number < min || number > max) throw new ConfigError(`--${flag.name} must be from ${min} to ${max}, not ${value}`);
  return number;
}

export function parseBool(flag: Flag, value: string): boolean {
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  throw invalid(flag, value, "not true or false");
}

const UNIT_MS: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 3.6e6 };

/** Go's duration notation: 1h30m, 100ms, 1.5s. */
export function parseDurationMs(flag: Flag, value: string): number {
  if (value === "0") return 0;
  let total = 0;
  let rest = value;
  while (rest !== "") {
    const match = /^(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/.exec(rest);
    if (match === null) throw invalid(flag, value, "not a duration such as 100ms, 5s or 1h30m");
    total += Number(match[1]) * (UNIT_MS[match[2] as string] as number);
    rest = rest.slice(match[0].length);
  }
  if (value === "") throw invalid(flag, value, "not a duration such as 100ms, 5s or 1h30m");
  return total;
}

/** A bare number counts hours, or revisions (C-6). */
export function parseAutoCompaction(mode: string, retention: string): AutoCompactionConfig {
  if (mode !== "periodic" && mode !== "revision") {
    throw new ConfigError(`unsupported compaction mode ${mode}: --auto-compaction-mode is periodic or revision`);
  }
  const isBare = /^\d+$/.test(retention);
  if (isBare && !Number.isSafeInteger(Number(retention))) {
    throw new ConfigError(`--auto-compaction-retention ${retention} is too large`);
  }
  if (mode === "revision") {
    if (!isBare) throw new ConfigError(`--auto-compaction-retention counts revisions, so it cannot be ${retention}`);
    return Number(retention) === 0 ? { mode: "off" } : { mode, revisions: Number(retention) };
  }
  const periodMs = isBare
    ? Number(retention) * HOUR_MS
    : parseDurationMs(flagOf("auto-compaction-retention"), retention);
  if (periodMs === 0) return { mode: "off" };
  if (periodMs < MIN_AUTO_COMPACTION_MS) {
    throw new ConfigError(
      `--auto-compaction-retention must be at least ${MIN_AUTO_COMPACTION_MS} ms, not ${retention}`,
    );
  }
  return { mode, periodMs };
}

/** Files are looked at by whoever opens them. */
export function parseClientTls(
  told: { certFile: string; keyFile: string; trustedCaFile: string; clientCertAuth: boolean },
  listenClientUrls: readonly string[],
  warnings: string[],
): ClientTlsConfig | undefined {
  const { certFile, keyFile, trustedCaFile, clientCertAuth } = told;
  if ((certFile === "") !== (keyFile === "")) {
    const [has, lacks] = certFile === "" ? ["key-file", "cert-file"] : ["cert-file", "key-file"];
    throw new ConfigError(`--${has} is of no use without --${lacks}: give both`);
  }
  for (const url of listenClientUrls) {
    if (isHttps(url)) {
      if (certFile !== "") continue;
      throw new ConfigError(
        `TLS key/cert (--cert-file, --key-file) must be provided for client url ${url} with HTTPS scheme`,
      );
    }
    if (certFile !== "") {
      warnings.push(`scheme is http while key and cert files are present; ignoring key and cert files for ${url}`);
    }
    if (clientCertAuth) {
      warnings.push(`scheme is http while --client-cert-auth is enabled; ignoring client cert auth for ${url}`);
    }
  }
  if (!listenClientUrls.some(isHttps)) return undefined;
  if (clientCertAuth && trustedCaFile === "") {
    warnings.push(
      "--client-cert-auth without --trusted-ca-file trusts every public certificate authority: name your own",
    );
  }
  return {
    certFile,
    keyFile,
    trustedCaFile: trustedCaFile === "" ? undefined : trustedCaFile,
    clientCertRequired: clientCertAuth || trustedCaFile !== "",
  };
}

export function parseUrls(flag: string, value: string, schemes: readonly string[]): string[] {
  const list = value.split(",").map((url) => url.trim());
  for (const url of list) checkUrl(flag, url, schemes);
  return list;
}

function checkUrl(flag: string, text: string, schemes: readonly string[]): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    const port = /:(\d+)$/.exec(text)?.[1];
    const why = Number(port) > 65_535 ? `${port} is no port number` : "not a URL such as http://127.0.0.1:2379";
    throw new FlagValueError(flag, text, why);
  }
  if (!schemes.includes(url.protocol)) {
    if (url.protocol === "https:" || url.protocol.startsWith("unix")) {
      throw new ConfigError(
        `--${flag}: ${url.protocol}// is not supported yet by this version of Quorate: use http://`,
      );
    }
    throw new FlagValueError(flag, text, "URL scheme must be http, https, unix, or unixs");
  }
  if (!/:\d+$/.test(text)) throw new ConfigError(`--${flag}: URL address does not have the form "host:port": ${text}`);
  return url;
}

export function checkListenUrl(flag: string, text: string): void {
  const host = new URL(text).hostname;
  const isIp = /^\d+\.\d+\.\d+\.\d+$/.test(host) || host.startsWith("[");
  if (!isIp && host !== "localhost") {
    throw new ConfigError(`--${flag}: expected IP in URL for binding (${text}): use an address of this machine`);
  }
}

export function parseInitialCluster(value: string): PeerSpec[] {
  const urls = new Map<string, string[]>();
  for (const part of value.split(",")) {
    const [name = "", url = ""] = splitOnce(part.trim(), "=");
    if (name === "" || url === "") {
      throw new ConfigError(`--initial-cluster: '${part}' is not of the form name=http://host:port`);
    }
    checkUrl("initial-cluster", url, ["http:"]);
    urls.set(name, [...(urls.get(name) ?? []), url]);
  }
  return [...urls].map(([name, list]) => ({ name, urls: list.sort() }));
}

export function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
