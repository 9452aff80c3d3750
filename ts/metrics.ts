/** What an event loop has done so far. Reading it costs no native call. */
export interface LoopMetrics {
  /** Turns of the loop. */
  iterations: number
  /**
   * Events of the loop, by kind; those of sockets are counted before stale ones are dropped and those of one are merged.
   * What happens to the connections of servers is not among them.
   */
  events: {
    /** Registered sockets that a turn of the loop found ready. */
    ready: number
    /** Messages, one each. */
    notify: number
    /** Timeouts that were delivered. */
    timeout: number
    /** Polls that `interrupt()`, or a signal, ended. */
    interrupted: number
  }
  /** Wake-ups across the threads: far fewer than events, when all is well. */
  doorbells: {
    /** Of the JS thread, by the loop and by Senders in other threads. */
    toJs: number
    /** Of whoever turns the loop, out of its poll. */
    toLoop: number
  }
  /** The ring of events, in records. */
  ring: {
    /** How many wait now. */
    depth: number
    /** The most that ever waited. */
    highWater: number
    /** How many fit. */
    capacity: number
  }
  /** Who turns the loop now: the JS thread, or a native one. */
  turner: 'js' | 'thread'
  /** How often the loop went from the one to the other, both ways counted. Only with the driver `auto`. */
  handovers: number
  /**
   * Milliseconds spent in the poll. That includes its sleep where a native thread turns the loop, and in `runSync`;
   * otherwise it is Node that sleeps.
   */
  pollTimeMs: number
  /** Milliseconds that the JS thread spent on delivering events, callbacks included. */
  dispatchTimeMs: number
}
