/** A loop of the driver `auto` that its JS thread turns. */

import type { EventLoop } from 'miolo'

/** Waits until the JS thread has the loop back. */
export async function calm(loop: Pick<EventLoop, 'metrics'>): Promise<void> {
  while (loop.metrics().turner !== 'js') await new Promise((resolve) => setTimeout(resolve, 5))
}
