import { errors } from "./errors.ts";

const URL_PARTS = /^([a-zA-Z][a-zA-Z0-9+.-]*):\/\/([^/?#]*)([^?#]*)/;
/** A name, an IPv4 or a bracketed IPv6 address, and a colon; etcd does not look at how large the port is. */
const HOST_AND_PORT = /^(?:[^:[\]\s"<>^`{|}\\%]*|\[[0-9a-fA-F:.]+(?:%25[^\]\s]+)?\]):\d*$/;

/**
 * The peer URLs of a member to be added, as they are stored and hashed into its id: trimmed, sorted. Throws
 * memberBadUrls for what etcd refuses (errors.tsv): none at all, another scheme, no port, a path.
 */
export function memberUrls(given: readonly string[]): readonly string[] {
  if (given.length === 0) throw errors.memberBadUrls;
  return given.map((url) => checked(url.trim())).sort();
}

function checked(url: string): string {
  const [, scheme = "", authority = "", path = ""] = URL_PARTS.exec(url) ?? [];
  const host = authority.slice(authority.lastIndexOf("@") + 1);
  switch (scheme.toLowerCase()) {
    case "http":
    case "https":
      if (!HOST_AND_PORT.test(host) || path !== "") throw errors.memberBadUrls;
      break;
    case "unix":
    case "unixs":
      break;
    default:
      throw errors.memberBadUrls;
  }
  return scheme.toLowerCase() + url.slice(scheme.length);
}
