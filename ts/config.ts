import { integer, options, word } from './validate.ts'

/** What an event loop can be told when it is made. mio: `EventLoopConfig`. */
export interface EventLoopConfig {
  /** The most messages that may wait for `notify`, exactly: 1 to 2^24. Default 4096. */
  notifyCapacity?: number
  /** The most messages delivered in one iteration: 1 to 2^24. Default 256. */
  messagesPerTick?: number
  /**
   * Milliseconds that deadlines are rounded up to, 1 to 60 000, and at the default of 1 to half a millisecond; never
   * early. Default 1.
   */
  timerTickMs?: number
  /** The most timeouts that may be set at once: 1 to 2^24. Default 65 536. */
  timerCapacity?: number
  /** The most events that may wait for the JS thread, 16 to 2^20, rounded up to a power of two. Default 8192. */
  eventCapacity?: number
  /**
   * Who turns the loop. `auto`: the JS thread, out of Node's own loop, without a hand-over between threads; and when it is
   * busy with something else for a few milliseconds, a native thread, until calm returns. `thread`: a native thread,
   * always; the JS thread spends the least then. `embedded`: the JS thread, always; there is no other. Where Node's loop
   * cannot be watched (Windows, Bun, Deno) it is `thread` all the same. Default `auto`.
   */
  driver?: 'auto' | 'thread' | 'embedded'
  /**
   * Microseconds to look again before sleeping, 0 to 1 000 000: latency for CPU time, for those who have a core to
   * spare. Default 0.
   */
  spinUs?: number
}

const DRIVERS = ['auto', 'thread', 'embedded'] as const

/** The configuration with its defaults, checked. @internal */
export function resolve(config: EventLoopConfig | undefined): Required<EventLoopConfig> {
  const given = options(config, 'config')
  const { driver = 'auto' } = given
  const number = (name: keyof EventLoopConfig, missing: number, min: number, max: number) =>
    given[name] === undefined ? missing : integer(given[name], `config.${name}`, min, max)
  return {
    notifyCapacity: number('notifyCapacity', 4096, 1, 2 ** 24),
    messagesPerTick: number('messagesPerTick', 256, 1, 2 ** 24),
    timerTickMs: number('timerTickMs', 1, 1, 60_000),
    timerCapacity: number('timerCapacity', 65_536, 1, 2 ** 24),
    eventCapacity: number('eventCapacity', 8192, 16, 2 ** 20),
    driver: word(driver, 'config.driver', DRIVERS),
    spinUs: number('spinUs', 0, 0, 1_000_000),
  }
}
