/** What Windows does not have: signals to end a program with, limits on descriptors, a libuv that watches one. */

import test from 'ava'

/** How to declare a test of such. */
export const onUnix: typeof test.serial | typeof test.serial.skip =
  process.platform === 'win32' ? test.serial.skip : test.serial
