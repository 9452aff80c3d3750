/** The same test under each driver, and under each way to run a loop. */

import test, { type ExecutionContext } from 'ava'
import { EventLoop, type EventLoopConfig, type Handler } from 'miolo'

import { within } from './deadline.ts'

export type Driver = 'thread' | 'embedded' | 'auto'
export const drivers: readonly Driver[] = ['thread', 'embedded', 'auto']

/** What a test gets: everything opened through it is closed at its end, however it ends. */
export interface Stage {
  readonly driver: Driver
  /** A loop with this driver. */
  open<Timeout = unknown, Message = unknown>(config?: EventLoopConfig): EventLoop<Timeout, Message>
  /** Keeps a socket, or anything else that can be closed, until the end of the test. */
  keep<T extends { close(): unknown }>(resource: T): T
}

/** A stage that also says how loops are run: by `run`, or by `runSync`. */
export interface RunStage extends Stage {
  readonly way: 'run' | 'runSync'
  run<T, M>(loop: EventLoop<T, M>, handler: Handler<T, M>): Promise<void>
}

type Body<S> = (t: ExecutionContext, stage: S) => void | Promise<void>

type Declare<S> = (title: string, body: Body<S>) => void

/** Declares one test for each driver. */
export const eachDriver: Declare<Stage> = declare<Stage>(
  drivers.map((driver) => ({ suffix: driver, stage: (resources) => stageOf(driver, resources) })),
)

/** Declares one test for each driver and each way to run a loop. */
export const eachWay: Declare<RunStage> = declare<RunStage>(
  drivers.flatMap((driver) => [running(driver), runningSync(driver)]),
)

/** Declares one test for each driver, with loops run by `runSync`. */
export const eachSync: Declare<RunStage> = declare<RunStage>(drivers.map(runningSync))

/** Declares a test of the driver `thread`, with loops run by `run`: of what its native thread does. */
export const onLoopThread: Declare<RunStage> = declare<RunStage>([running('thread')])

function running(driver: Driver): Variant<RunStage> {
  return {
    suffix: driver,
    stage: (resources) => ({
      ...stageOf(driver, resources),
      way: 'run',
      run: (loop, handler) => loop.run(handler),
    }),
  }
}

function runningSync(driver: Driver): Variant<RunStage> {
  return {
    suffix: `${driver}, runSync`,
    stage: (resources) => ({
      ...stageOf(driver, resources),
      way: 'runSync',
      run: async (loop, handler) => loop.runSync(handler),
    }),
  }
}

interface Resource {
  close(): unknown
}

interface Variant<S> {
  suffix: string
  stage(resources: Resource[]): S
}

function declare<S extends Stage>(variants: Variant<S>[]): Declare<S> {
  return (title, body) => {
    for (const { suffix, stage } of variants) {
      test.serial(`${title} (${suffix})`, async (t) => {
        const resources: Resource[] = []
        try {
          await within(t.title, async () => body(t, stage(resources)))
        } finally {
          for (const resource of resources.reverse()) resource.close()
        }
      })
    }
  }
}

function stageOf(driver: Driver, resources: Resource[]): Stage {
  const keep = <R extends Resource>(resource: R): R => {
    resources.push(resource)
    return resource
  }
  return {
    driver,
    keep,
    open: <T, M>(config?: EventLoopConfig) => keep(new EventLoop<T, M>({ driver, ...config })),
  }
}
