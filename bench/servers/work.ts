let state = 1

/** What a busy handler does with a message: so many steps of a xorshift. */
export function work(steps: number): void {
  let x = state
  for (let step = 0; step < steps; step += 1) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
  }
  state = x
}
