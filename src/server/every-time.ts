/** Calls through once for every `step` of progress, so that short work says nothing and long work shows that it goes on. */
export function everyTime(
  step: number,
  say: (done: number, total: number) => void,
): (done: number, total?: number) => void {
  let next = step;
  return (done, total = 0) => {
    if (done < next) return;
    next = done + step;
    say(done, total);
  };
}
