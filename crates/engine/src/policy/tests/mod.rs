//! Every policy against its law: examples by hand, then random histories. Time is a number here,
//! so a day of traffic costs nothing.

mod backoff;
mod batch_size;
mod breaker;
mod budget;
mod concurrency;
mod pressure;
mod quota;
mod told;
mod window;

use crate::moment::Moment;

fn ms(millis: u64) -> Moment {
    Moment::from_micros(millis * 1_000)
}
