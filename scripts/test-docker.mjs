/**
 * `npm run test:docker`: the cluster of docker-compose.yml, its members killed, paused, cut off, restarted and recreated.
 * Needs a Docker engine with compose (scripts/with-engine.sh brings one on a Debian); pulls no image. Where something is
 * missing it says loudly that it was skipped, or fails if QUORATE_DOCKER=required. Options after `--` go to vitest.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensure, ensureEtcd, root, run, say } from "./ensure.mjs";

const DEFAULT_BASE = "node:24-slim";
const LOCAL_BASE = "quorate-base";

const works = (command, ...args) => spawnSync(command, args, { stdio: "ignore" }).status === 0;
const hasImage = (name) => works("docker", "image", "inspect", name);

const missing = whatIsMissing();
if (missing === undefined) {
  ensure();
  ensureEtcd();
  process.env.BASE_IMAGE = base();
  run(join(root, "node_modules", ".bin", "vitest"), [
    "run",
    "test/docker",
    ...process.argv.slice(2),
    "--no-file-parallelism",
    "--disable-console-intercept=true",
  ]);
} else {
  say("***********************************************************************");
  say("SKIPPED: the tests with containers did NOT run:");
  say(missing);
  say("***********************************************************************");
  if (process.env.QUORATE_DOCKER === "required") process.exitCode = 1;
}

function whatIsMissing() {
  const bring = "On a Debian, as root: scripts/with-engine.sh npm run test:docker";
  if (!works("docker", "info")) return `no Docker engine answers. ${bring}`;
  if (!works("docker", "compose", "version")) return `docker compose (version 2) is missing. ${bring}`;
  if (process.env.BASE_IMAGE || hasImage(DEFAULT_BASE) || hasImage(LOCAL_BASE)) return undefined;
  if (process.getuid?.() === 0 && works("debootstrap", "--version")) return undefined;
  return `they pull no image, so have one with Node here first: docker pull ${DEFAULT_BASE}`;
}

/** An image that is here already, or one made of this machine's own programs. */
function base() {
  if (process.env.BASE_IMAGE) return process.env.BASE_IMAGE;
  if (hasImage(DEFAULT_BASE)) return DEFAULT_BASE;
  if (!hasImage(LOCAL_BASE)) {
    say(`${DEFAULT_BASE} is not here and the tests pull nothing: making a base image (scripts/base-image.sh)`);
    run(join(root, "scripts", "base-image.sh"), [LOCAL_BASE]);
  }
  return LOCAL_BASE;
}
