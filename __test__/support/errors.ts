/** Errors, as tests expect them. */

import type { ExecutionContext } from 'ava'

/** What `action` throws; it must have this code and be of this class. */
export function throwsCode(
  t: ExecutionContext,
  action: () => unknown,
  code: string,
  type: new (...args: never[]) => Error = Error,
): Error & { code: string } {
  let thrown: unknown
  try {
    action()
    t.fail(`does not throw ${code}`)
  } catch (error) {
    thrown = error
  }
  return checked(t, thrown, code, type)
}

/** What `promise` rejects with; it must have this code and be of this class. */
export async function rejectsCode(
  t: ExecutionContext,
  promise: Promise<unknown>,
  code: string,
  type: new (...args: never[]) => Error = Error,
): Promise<Error & { code: string }> {
  const thrown = await promise.then(
    () => t.fail(`does not reject with ${code}`),
    (error: unknown) => error,
  )
  return checked(t, thrown, code, type)
}

function checked(
  t: ExecutionContext,
  thrown: unknown,
  code: string,
  type: new (...args: never[]) => Error,
): Error & { code: string } {
  const error = thrown as Error & { code: string }
  t.true(error instanceof type, `not a ${type.name}: ${String(thrown)}`)
  t.is(error.code, code, String(thrown))
  return error
}
