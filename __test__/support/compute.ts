/** A JS thread that is busy. */

/** Computes for so many milliseconds; calls `meanwhile` in each of them. */
export function compute(ms: number, meanwhile: () => void = () => {}): void {
  const until = performance.now() + ms
  for (let next = 0; performance.now() < until;) {
    if (performance.now() < next) continue
    meanwhile()
    next = performance.now() + 1
  }
}
