import { readFile, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import type { Mutant } from "./mutant.ts";

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** The file's text with the mistake in it. Throws unless the place is there exactly once. */
export function plant({ name, from, to }: Pick<Mutant, "name" | "from" | "to">, text: string, file: string): string {
  const at = text.indexOf(from);
  if (at < 0) throw new Error(`mutant ${name}: ${file} has no such place:\n${from}`);
  if (text.indexOf(from, at + 1) >= 0) throw new Error(`mutant ${name}: ${file} has this place twice:\n${from}`);
  return text.slice(0, at) + to + text.slice(at + from.length);
}

/**
 * One file with everything that `entry` (a path from the root) imports, with the mutant planted. The tree is not touched.
 * Throws when the mutant's file is no part of it.
 */
export async function bundle(entry: string, mutant: Mutant | undefined, outfile: string): Promise<void> {
  let planted = false;
  const planting: Plugin = {
    name: "planting",
    setup(context) {
      if (mutant === undefined) return;
      const path = join(ROOT, mutant.file);
      context.onLoad({ filter: /\.ts$/ }, async (args) => {
        if (args.path !== path) return undefined;
        planted = true;
        return { contents: plant(mutant, await readFile(path, "utf8"), mutant.file), loader: "ts" };
      });
    },
  };
  await build({
    entryPoints: [join(ROOT, entry)],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    sourcemap: "inline",
    sourcesContent: false,
    logLevel: "silent",
    plugins: [planting],
  });
  if (mutant !== undefined && !planted) {
    await stat(join(ROOT, mutant.file));
    throw new Error(`mutant ${mutant.name}: ${mutant.file} is no part of ${entry}`);
  }
}
