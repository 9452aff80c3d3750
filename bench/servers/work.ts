/** Typed, so that the JIT has a 32-bit integer to begin with in every program, and the steps cost the same. */
const state = new Int32Array([1])

/** What a busy handler does with a message: so many steps of a xorshift. */
export function work(steps: number): void {
  let x = state[0]!
  for (let step = 0; step < steps; step += 1) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
  }
  state[0] = x
}
