//! The CPU time of a process, all its threads included, those that have ended as well; and of its main thread alone.

use std::time::Duration;

/// The CPU time used so far by the process `pid` (0: this one), to the nanosecond.
///
/// `None` where there is no such process, or on a system that has no such clock.
#[cfg(target_os = "linux")]
pub fn time(pid: u32) -> Option<Duration> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both calls only write to the local they are given a pointer to.
    let read = unsafe {
        libc::clock_getcpuclockid(pid, &mut clock) == 0
            && libc::clock_gettime(clock, &mut time) == 0
    };
    read.then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// The CPU time used so far by the process `pid` (0: this one), to the nanosecond.
///
/// `None` where there is no such process, or on a system that has no such clock.
#[cfg(not(target_os = "linux"))]
pub fn time(_pid: u32) -> Option<Duration> {
    None
}

/// The CPU time used so far by the main thread of the process `pid`: in Node, the one that runs JavaScript. What it has
/// used since it last began to run or the kernel's clock last ticked, some milliseconds at most, may be missing.
///
/// `None` where there is no such process, or on a system that does not tell.
pub fn main_thread_time(pid: u32) -> Option<Duration> {
    let schedstat = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()?;
    let nanoseconds = schedstat.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::{main_thread_time, time};

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn counts_the_threads_that_have_ended() {
        let before = time(0).unwrap();
        let spent = std::thread::spawn(|| {
            let mut sum = 0u64;
            for i in 0..20_000_000u64 {
                sum = std::hint::black_box(sum.wrapping_add(i));
            }
            sum
        });
        spent.join().unwrap();
        assert!(time(0).unwrap() > before);
        assert!(time(std::process::id()).unwrap() > before);
    }

    #[test]
    fn of_the_main_thread_counts_no_other() {
        let process = std::process::id();
        let Some(before) = main_thread_time(process) else {
            return; // This kernel does not tell.
        };
        let in_all = time(0).unwrap();
        std::thread::spawn(move || while time(0).unwrap() < in_all + TENTH {})
            .join()
            .unwrap();
        // A test runs in a thread of its own; the main one waits for it.
        assert!(main_thread_time(process).unwrap() - before < TENTH / 2);
    }

    #[test]
    fn knows_no_process_that_is_not_there() {
        assert_eq!(time(u32::MAX), None);
        assert_eq!(main_thread_time(u32::MAX), None);
    }
}
