/** How far it is: a bar where there is a terminal, else a line a measurement. On stderr, so that stdout is the result. */

export interface Progress {
  begin(what: string): void;
  /** What came of it. */
  end(figure: string): void;
  /** Takes the bar away. */
  clear(): void;
}

const WIDTH = 79;
const BAR = 24;
const MINUTE_MS = 60_000;
const REDRAW_MS = 1_000;

export function progress(steps: number, stream: NodeJS.WriteStream = process.stderr): Progress {
  const startedAt = Date.now();
  let done = 0;
  let what = "";
  const left = (): string => {
    if (done === 0) return "";
    const minutes = (((Date.now() - startedAt) / done) * (steps - done)) / MINUTE_MS;
    return minutes < 1 ? ", less than a minute" : `, ${Math.ceil(minutes)} min`;
  };
  const draw = (): void => {
    const filled = Math.round((done / steps) * BAR);
    const bar = `[${"=".repeat(filled)}${" ".repeat(BAR - filled)}] ${done}/${steps}${left()}: ${what}`;
    stream.write(`\r${bar.slice(0, WIDTH).padEnd(WIDTH)}`);
  };
  const clear = (): void => {
    if (stream.isTTY) stream.write(`\r${"".padEnd(WIDTH)}\r`);
  };
  let timer: NodeJS.Timeout | undefined;
  return {
    begin(next) {
      what = next;
      if (!stream.isTTY) return;
      draw();
      timer = setInterval(draw, REDRAW_MS);
      timer.unref();
    },
    end(figure) {
      clearInterval(timer);
      done++;
      clear();
      stream.write(`${done}/${steps} ${what}: ${figure}\n`);
    },
    clear() {
      clearInterval(timer);
      clear();
    },
  };
}
