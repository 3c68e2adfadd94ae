/**
 * Writes proto/generated/<package>.ts (types and codecs) and proto/generated/services.ts (every RPC) from proto/*.proto.
 *
 *   npm run generate         write the files
 *   npm run generate:check   exit 1 if they differ from what is there
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const protoDir = join(root, "proto");
const check = process.argv.includes("--check");

type Kind =
  | { readonly tag: "scalar"; readonly ts: string; readonly zero: string; readonly wire: number; readonly op: string }
  | { readonly tag: "message"; readonly ts: string; readonly name: string; readonly pkg: string };

interface Field {
  readonly name: string;
  readonly wireName: string;
  readonly id: number;
  readonly kind: Kind;
  readonly repeated: boolean;
  readonly packed: boolean;
  readonly always: boolean;
  readonly oneof: string | undefined;
}

function camel(name: string): string {
  const joined = name.replace(/_([a-zA-Z])/g, (_, c: string) => c.toUpperCase());
  return /^[A-Z]+$/.test(joined) ? joined : joined.charAt(0).toLowerCase() + joined.slice(1);
}

function pascal(name: string): string {
  const joined = camel(name);
  return joined.charAt(0).toUpperCase() + joined.slice(1);
}

function scalar(ts: string, zero: string, wire: number, op: string): Kind {
  return { tag: "scalar", ts, zero, wire, op };
}

function kindOf(field: protobuf.Field, pkg: string): Kind {
  const as = field.options?.["(as)"] as string | undefined;
  switch (field.type) {
    case "bool":
      return scalar("boolean", "false", 0, "Bool");
    case "uint32":
      return scalar("number", "0", 0, "Uint32");
    case "int32":
      return scalar("number", "0", 0, "Int32");
    case "uint64":
      return as === "id" ? scalar("bigint", "0n", 0, "Uint64Bits") : scalar("number", "0", 0, "Uint64");
    case "int64":
      return as === "id" ? scalar("bigint", "0n", 0, "Int64Bits") : scalar("number", "0", 0, "Int64");
    case "string":
      return scalar("string", '""', 2, "String");
    case "bytes":
      return as === "key" ? scalar("string", '""', 2, "Latin1") : scalar("Uint8Array", "EMPTY", 2, "Bytes");
  }
  if (as === "raw") return scalar("Uint8Array", "EMPTY", 2, "Bytes");
  const resolved = field.resolvedType;
  if (resolved instanceof protobuf.Enum) return scalar("number", "0", 0, "Int32");
  if (!(resolved instanceof protobuf.Type)) throw new Error(`unknown type ${field.type} of ${field.fullName}`);
  const owner = packageOf(resolved);
  const name = pascal(resolved.name);
  return { tag: "message", ts: owner === pkg ? name : `${namespace(owner)}.${name}`, name, pkg: owner };
}

function packageOf(object: protobuf.ReflectionObject): string {
  return (object.parent?.fullName ?? "").replace(/^\./, "");
}

function namespace(pkg: string): string {
  return pkg === "grpc.health.v1" ? "health" : pkg;
}

const READ: Record<string, string> = {
  Bool: "reader.bool()",
  Uint32: "reader.uint32()",
  Int32: "reader.int32()",
  Uint64: "reader.uint64()",
  Int64: "reader.int64()",
  Uint64Bits: "reader.uint64Bits()",
  Int64Bits: "reader.int64Bits()",
  String: "reader.string()",
  Latin1: "reader.latin1()",
  Bytes: "reader.bytes()",
};

function sizeOf(kind: Kind, v: string): string {
  if (kind.tag === "message") return `sizeDelimited(${fn("size", kind)}(${v}))`;
  switch (kind.op) {
    case "Bool":
      return "1";
    case "Uint32":
    case "Uint64":
      return `sizeUint(${v})`;
    case "Int32":
    case "Int64":
      return `sizeInt(${v})`;
    case "Uint64Bits":
    case "Int64Bits":
      return `sizeBits(${v})`;
    default:
      return `size${kind.op}(${v})`;
  }
}

function writeOf(kind: Kind, v: string): string {
  if (kind.tag === "message") {
    return `at = writeUint(${fn("size", kind)}(${v}), out, at);\n  at = ${fn("write", kind)}(${v}, out, at);`;
  }
  switch (kind.op) {
    case "Bool":
      return `out[at++] = ${v} ? 1 : 0;`;
    case "Uint32":
    case "Uint64":
      return `at = writeUint(${v}, out, at);`;
    case "Int32":
    case "Int64":
      return `at = writeInt(${v}, out, at);`;
    case "Uint64Bits":
    case "Int64Bits":
      return `at = writeBits(${v}, out, at);`;
    default:
      return `at = write${kind.op}(${v}, out, at);`;
  }
}

function fn(verb: string, kind: { ts: string; name: string; pkg: string }): string {
  return kind.ts.includes(".") ? `${kind.ts.split(".")[0]}.${verb}${kind.name}` : `${verb}${kind.name}`;
}

function readOf(kind: Kind): string {
  return kind.tag === "message" ? `reader.message(${fn("read", kind)})` : (READ[kind.op] as string);
}

function notZero(kind: Kind, v: string): string {
  if (kind.tag === "message") return `${v} !== undefined`;
  if (kind.op === "Bool") return v;
  if (kind.op === "Bytes") return `${v}.length > 0`;
  return `${v} !== ${kind.zero}`;
}

function tagBytes(id: number, wire: number): number[] {
  const bytes: number[] = [];
  let rest = ((id << 3) | wire) >>> 0;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

function writeTag(id: number, wire: number): string {
  return tagBytes(id, wire)
    .map((byte) => `out[at++] = ${byte};`)
    .join("\n  ");
}

function wireOf(kind: Kind): number {
  return kind.tag === "message" ? 2 : kind.wire;
}

function emitMessage(type: protobuf.Type, pkg: string): string {
  const name = pascal(type.name);
  const fields: Field[] = type.fieldsArray
    .map((field) => ({
      name: camel(field.name),
      wireName: field.name,
      id: field.id,
      kind: kindOf(field.resolve(), pkg),
      repeated: field.repeated,
      // Only numbers pack; protobufjs reports the default of the file for every field.
      packed: field.repeated && field.packed && wireOf(kindOf(field, pkg)) === 0,
      always: field.options?.["(always)"] === true,
      oneof: field.partOf ? camel(field.partOf.name) : undefined,
    }))
    .sort((a, b) => a.id - b.id);
  const out: string[] = [];

  // Most of its fields are not there, and an object with a place for each would be mostly empty.
  const isSparse = type.options?.["(sparse)"] === true;
  const given = (kind: Kind, v: string): string =>
    isSparse && kind.tag !== "message" ? `${v} !== undefined && ${notZero(kind, v)}` : notZero(kind, v);
  const holders: { name: string; type: string; zero: string; optional: boolean }[] = [];
  const seen = new Set<string>();
  for (const field of fields) {
    if (field.oneof) {
      if (seen.has(field.oneof)) continue;
      seen.add(field.oneof);
      const union = fields
        .filter((f) => f.oneof === field.oneof)
        .map((f) => `{ readonly kind: "${f.name}"; readonly value: ${f.kind.ts} }`)
        .join(" | ");
      holders.push({ name: field.oneof, type: `${union} | undefined`, zero: "undefined", optional: false });
    } else if (field.repeated) {
      holders.push({ name: field.name, type: `readonly ${field.kind.ts}[]`, zero: "[]", optional: false });
    } else if (field.kind.tag === "message") {
      holders.push({ name: field.name, type: `${field.kind.ts} | undefined`, zero: "undefined", optional: isSparse });
    } else {
      const ts = isSparse ? `${field.kind.ts} | undefined` : field.kind.ts;
      holders.push({ name: field.name, type: ts, zero: field.kind.zero, optional: isSparse });
    }
  }

  out.push(`export interface ${name} {`);
  for (const h of holders) out.push(`  readonly ${h.name}${h.optional ? "?" : ""}: ${h.type};`);
  out.push("}");

  const m = holders.length > 0 ? "m" : "_m";
  const isShared = type.options?.["(shared)"] === true;
  if (isShared) {
    const isFixed = fields.every((f) => !f.repeated && !f.oneof && wireOf(f.kind) === 0);
    if (!isFixed) throw new Error(`${name} is (shared), and may have more bytes than are kept`);
    // A varint has ten bytes at most, a tag of a field below 16 one.
    out.push(`let last${name}: ${name} | undefined;`, `let last${name}Bytes = 0;`);
    out.push(`const last${name}Buffer = Buffer.alloc(${fields.length * 12});`);
  }
  out.push(`export function size${name}(${m}: ${name}): number {`);
  if (isShared) {
    out.push(
      `  if (m !== last${name}) {`,
      `    last${name} = undefined;`,
      `    last${name}Bytes = writeFields${name}(m, last${name}Buffer, 0);`,
    );
    out.push(`    last${name} = m;`, "  }", `  return last${name}Bytes;`);
  } else if (fields.length === 0) out.push("  return 0;");
  else {
    out.push("  let size = 0;");
    for (const f of fields) {
      const tag = tagBytes(f.id, f.packed ? 2 : wireOf(f.kind)).length;
      if (f.oneof) {
        out.push(`  if (m.${f.oneof}?.kind === "${f.name}") size += ${tag} + ${sizeOf(f.kind, `m.${f.oneof}.value`)};`);
      } else if (f.repeated && f.packed) {
        out.push(`  if (m.${f.name}.length > 0) {`, "    let packed = 0;");
        out.push(`    for (const v of m.${f.name}) packed += ${sizeOf(f.kind, "v")};`);
        out.push(`    size += ${tag} + sizeDelimited(packed);`, "  }");
      } else if (f.repeated) {
        out.push(`  for (const v of m.${f.name}) size += ${tag} + ${sizeOf(f.kind, "v")};`);
      } else if (f.always && f.kind.tag === "message") {
        out.push(
          `  size += ${tag} + sizeDelimited(m.${f.name} === undefined ? 0 : ${fn("size", f.kind)}(m.${f.name}));`,
        );
      } else if (f.always) {
        out.push(`  size += ${tag} + ${sizeOf(f.kind, `m.${f.name}`)};`);
      } else {
        out.push(`  if (${given(f.kind, `m.${f.name}`)}) size += ${tag} + ${sizeOf(f.kind, `m.${f.name}`)};`);
      }
    }
    out.push("  return size;");
  }
  out.push("}");

  const [outName, startName] = fields.length === 0 ? ["_out", "at"] : ["out", "start"];
  if (isShared) {
    out.push(`export function write${name}(m: ${name}, out: Buffer, start: number): number {`);
    out.push(`  const bytes = size${name}(m);`);
    out.push(`  for (let i = 0; i < bytes; i++) out[start + i] = last${name}Buffer[i] as number;`);
    out.push("  return start + bytes;", "}");
  }
  const writer = isShared ? `function writeFields${name}` : `export function write${name}`;
  out.push(`${writer}(${m}: ${name}, ${outName}: Buffer, ${startName}: number): number {`);
  if (fields.length === 0) out.push("  return at;");
  else {
    out.push("  let at = start;");
    for (const f of fields) {
      const tag = writeTag(f.id, f.packed ? 2 : wireOf(f.kind));
      if (f.oneof) {
        out.push(`  if (m.${f.oneof}?.kind === "${f.name}") {`, `  ${tag}`);
        out.push(`  ${writeOf(f.kind, `m.${f.oneof}.value`)}`, "  }");
      } else if (f.repeated && f.packed) {
        out.push(`  if (m.${f.name}.length > 0) {`, `  ${tag}`, "    let packed = 0;");
        out.push(`    for (const v of m.${f.name}) packed += ${sizeOf(f.kind, "v")};`);
        out.push("    at = writeUint(packed, out, at);");
        out.push(`    for (const v of m.${f.name}) { ${writeOf(f.kind, "v")} }`, "  }");
      } else if (f.repeated) {
        out.push(`  for (const v of m.${f.name}) {`, `  ${tag}`, `  ${writeOf(f.kind, "v")}`, "  }");
      } else if (f.always && f.kind.tag === "message") {
        out.push(`  ${tag}`, `  if (m.${f.name} === undefined) out[at++] = 0;`, "  else {");
        out.push(`  ${writeOf(f.kind, `m.${f.name}`)}`, "  }");
      } else if (f.always) {
        out.push(`  ${tag}`, `  ${writeOf(f.kind, `m.${f.name}`)}`);
      } else {
        out.push(`  if (${given(f.kind, `m.${f.name}`)}) {`, `  ${tag}`, `  ${writeOf(f.kind, `m.${f.name}`)}`, "  }");
      }
    }
    out.push("  return at;");
  }
  out.push("}");

  out.push(`export function read${name}(reader: Reader, end: number): ${name} {`);
  const present = holders.filter((h) => !h.optional);
  const zeros = present.map((h) => `${h.name}: ${h.zero}`);
  if (isSparse) out.push(`  const m: { -readonly [K in keyof ${name}]: ${name}[K] } = { ${zeros.join(", ")} };`);
  for (const h of isSparse ? [] : holders) {
    const field = fields.find((f) => f.name === h.name && f.repeated);
    if (field) out.push(`  const ${h.name}: ${field.kind.ts}[] = [];`);
    else out.push(`  let ${h.name}: ${h.type} = ${h.zero};`);
  }
  out.push("  while (reader.position < end) {", "    const tag = reader.tag(end);");
  if (fields.length === 0) out.push("    reader.skip(tag);");
  else {
    out.push("    switch (tag >>> 3) {");
    for (const f of fields) {
      out.push(`      case ${f.id}:`);
      if (f.repeated && wireOf(f.kind) === 0) {
        out.push("        if ((tag & 7) === 2) {", "          const packedEnd = reader.limit();");
        out.push(`          while (reader.position < packedEnd) ${f.name}.push(${readOf(f.kind)});`);
        out.push("        } else {", "          reader.expect(tag, 0);");
        out.push(`          ${f.name}.push(${readOf(f.kind)});`, "        }");
      } else {
        out.push(`        reader.expect(tag, ${wireOf(f.kind)});`);
        if (f.oneof) out.push(`        ${f.oneof} = { kind: "${f.name}", value: ${readOf(f.kind)} };`);
        else if (f.repeated) out.push(`        ${f.name}.push(${readOf(f.kind)});`);
        else out.push(`        ${isSparse ? "m." : ""}${f.name} = ${readOf(f.kind)};`);
      }
      out.push("        break;");
    }
    out.push("      default:", "        reader.skip(tag);", "    }");
  }
  out.push("  }");
  out.push(isSparse ? "  return m;" : `  return { ${holders.map((h) => h.name).join(", ")} };`, "}");

  out.push(`export const ${name}: Codec<${name}> = {`);
  out.push(`  create: (init = {}) => ({ ${[...zeros, "...init"].join(", ")} }),`);
  out.push(`  size: size${name},`, `  write: write${name},`, `  read: read${name},`, "};", "");
  return out.join("\n");
}

function emitEnum(item: protobuf.Enum, prefix: string): string {
  const rows = Object.entries(item.values).map(([key, value]) => `  ${key}: ${value},`);
  return [`export const ${prefix}${item.name} = {`, ...rows, "} as const;", ""].join("\n");
}

const pbRoot = new protobuf.Root();
pbRoot.resolvePath = (_origin, target) => (target.startsWith("/") ? target : join(protoDir, target));
for (const file of readdirSync(protoDir)
  .filter((f) => f.endsWith(".proto"))
  .sort()) {
  pbRoot.loadSync(join(protoDir, file), { keepCase: true });
}
pbRoot.resolveAll();

const HEADER = "// Made by scripts/generate-wire.ts from proto/*.proto. Do not edit.\n";
const files = new Map<string, string>();
const rpcs: string[] = [];
const rpcImports = new Set<string>();

function visit(ns: protobuf.NamespaceBase, pkg: string): void {
  const types: string[] = [];
  const enums: string[] = [];
  for (const item of ns.nestedArray) {
    if (item instanceof protobuf.Type) {
      for (const nested of item.nestedArray) {
        if (nested instanceof protobuf.Enum) enums.push(emitEnum(nested, item.name));
      }
      types.push(emitMessage(item, pkg));
    } else if (item instanceof protobuf.Enum) enums.push(emitEnum(item, ""));
    else if (item instanceof protobuf.Service) emitService(item, pkg);
    else if (item instanceof protobuf.Namespace) visit(item, pkg === "" ? item.name : `${pkg}.${item.name}`);
  }
  if (types.length === 0) return;
  const body = [...enums, ...types].join("\n");
  const used = ["sizeDelimited", "sizeBytes", "sizeLatin1", "sizeString", "sizeUint", "sizeInt", "sizeBits"]
    .concat(["writeBytes", "writeLatin1", "writeString", "writeUint", "writeInt", "writeBits", "EMPTY"])
    .filter((helper) => new RegExp(`\\b${helper}\\b`).test(body));
  const imports = [
    'import type { Codec, Reader } from "../codec.ts";',
    used.length ? `import { ${used.join(", ")} } from "../codec.ts";` : "",
    ...[...new Set([...body.matchAll(/\b([a-z][a-z0-9]*(?:pb|health))\.[A-Za-z]/g)].map((match) => match[1] as string))]
      .filter((other) => other !== namespace(pkg))
      .map((other) => `import * as ${other} from "./${other}.ts";`),
  ].filter(Boolean);
  files.set(`${namespace(pkg)}.ts`, `${HEADER}${imports.join("\n")}\n\n${body}`);
}

function emitService(service: protobuf.Service, pkg: string): void {
  for (const method of service.methodsArray) {
    method.resolve();
    const request = method.resolvedRequestType as protobuf.Type;
    const response = method.resolvedResponseType as protobuf.Type;
    for (const type of [request, response]) rpcImports.add(namespace(packageOf(type)));
    const stream = method.requestStream ? "bidi" : method.responseStream ? "serverStream" : "unary";
    const typeName = (type: protobuf.Type): string => `${namespace(packageOf(type))}.${pascal(type.name)}`;
    rpcs.push(
      `  ${service.name}${method.name}: { service: "${pkg}.${service.name}", method: "${method.name}", ` +
        `path: "/${pkg}.${service.name}/${method.name}", stream: "${stream}", ` +
        `request: ${typeName(request)}, response: ${typeName(response)} },`,
    );
  }
}

visit(pbRoot, "");
files.set(
  "services.ts",
  `${HEADER}${[...rpcImports]
    .sort()
    .map((name) => `import * as ${name} from "./${name}.ts";`)
    .join("\n")}\n\n` +
    `/** Every RPC of the public API: its path, its stream shape and the codecs of both directions. */\nexport const rpcs = {\n${rpcs.join("\n")}\n} as const;\n`,
);

mkdirSync(join(protoDir, "generated"), { recursive: true });
const biome = join(root, "node_modules", ".bin", "biome");
let stale = false;
for (const [name, text] of files) {
  const path = join(protoDir, "generated", name);
  const formatted = execFileSync(biome, ["format", `--stdin-file-path=${path}`], {
    input: text,
    encoding: "utf8",
    cwd: root,
  });
  if (check) {
    if (readFileSync(path, "utf8") !== formatted) {
      console.error(`${name} is stale: run npm run generate`);
      stale = true;
    }
  } else writeFileSync(path, formatted);
}
if (stale) process.exit(1);
