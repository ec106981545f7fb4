//! Messages over sockets: so many in flight in each room, or so many a second.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::Result;
use crate::chat::{Chat, PATIENCE, Person, Received, Receiver, Sender, Socket};

/// How many users register at once.
const REGISTERING: usize = 8;

/// The period of a sender that waits for acknowledgements instead.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// The rooms of a measurement, each with its first member as the sender: `20x6x8` is 20 rooms of 6 members, with 8
/// messages in flight each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    pub(crate) in_flight: usize,
}

impl FromStr for Rooms {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers: Vec<usize> = text.split('x').map(|number| number.parse().unwrap_or_default()).collect();
        match numbers[..] {
            [rooms, members @ 2..=6, in_flight] if rooms.min(in_flight) > 0 => {
                Ok(Self { rooms, members, in_flight })
            }
            _ => Err("must be like 20x6x1: rooms, members (2 to 6), messages in flight".to_owned()),
        }
    }
}

/// When a sender sends its next message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// When one of those in flight is acknowledged.
    Closed,
    /// So many a second, over all rooms.
    Rate(u32),
}

/// How long a measurement takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
    /// The bytes of a message.
    pub(crate) size: usize,
}

/// What was measured.
pub(crate) struct Sent {
    pub(crate) acknowledged: u64,
    pub(crate) delivered: u64,
    pub(crate) time: Duration,
    /// From the send to its acknowledgement, in microseconds.
    pub(crate) acknowledgement: Histogram<u64>,
    /// From the send to each delivery, in microseconds.
    pub(crate) delivery: Histogram<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    /// Nothing more is sent.
    Ending,
    /// Everything has arrived.
    Ended,
}

/// What the tasks of a measurement share.
struct Run {
    start: Instant,
    phase: watch::Sender<Phase>,
    /// All that were acknowledged and delivered, also outside of the measured time.
    acknowledged: AtomicU64,
    delivered: AtomicU64,
    arrived: Notify,
}

impl Run {
    fn now(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

/// Registers people, opens rooms and sockets, and sends. Fails if a message is not acknowledged or does not reach a
/// member. `around` is called at the start and at the end of the measured time.
pub(crate) async fn send(
    chat: &Chat,
    rooms: Rooms,
    pace: Pace,
    length: Length,
    around: impl AsyncFn() -> Result<()>,
) -> Result<Sent> {
    let open = stream::iter(0..rooms.rooms).map(|_| open(chat, rooms.members)).buffered(REGISTERING);
    let open: Vec<(u64, Vec<Socket>)> = open.try_collect().await?;
    let run = Arc::new(Run {
        start: Instant::now(),
        phase: watch::Sender::new(Phase::WarmUp),
        acknowledged: AtomicU64::new(0),
        delivered: AtomicU64::new(0),
        arrived: Notify::new(),
    });
    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    for (room, sockets) in open {
        for (index, Socket { sender, receiver }) in sockets.into_iter().enumerate() {
            if index == 0 {
                senders.spawn(send_all(run.clone(), room, sender, receiver, rooms, pace, length.size));
            } else {
                receivers.spawn(receive_all(run.clone(), sender, receiver));
            }
        }
    }
    let measured = async {
        sleep(length.warm_up).await;
        around().await?;
        run.phase.send_replace(Phase::Measured);
        let start = Instant::now();
        sleep(length.measured).await;
        around().await?;
        Ok::<_, crate::Error>(start.elapsed())
    };
    let time = tokio::select! {
        time = measured => time?,
        Some(ended) = senders.join_next() => return Err(ended?.err().unwrap_or("a sender has ended".into())),
        Some(ended) = receivers.join_next() => return Err(ended?.err().unwrap_or("a receiver has ended".into())),
    };
    run.phase.send_replace(Phase::Ending);
    let mut acknowledgement = new_histogram()?;
    while let Some(ended) =
        timeout(PATIENCE, senders.join_next()).await.map_err(|_| "a send was not acknowledged")?
    {
        acknowledgement.add(ended??)?;
    }
    let expected = run.acknowledged.load(Relaxed) * (rooms.members as u64 - 1);
    while run.delivered.load(Relaxed) < expected {
        let arrived = timeout(PATIENCE, run.arrived.notified()).await;
        arrived.map_err(|_| format!("{} of {expected} deliveries came", run.delivered.load(Relaxed)))?;
    }
    run.phase.send_replace(Phase::Ended);
    let mut delivery = new_histogram()?;
    while let Some(ended) = receivers.join_next().await {
        delivery.add(ended??)?;
    }
    Ok(Sent {
        acknowledged: acknowledgement.len(),
        delivered: delivery.len(),
        time,
        acknowledgement,
        delivery,
    })
}

/// Opens a room, and a socket of each member.
async fn open(chat: &Chat, members: usize) -> Result<(u64, Vec<Socket>)> {
    let mut people: Vec<Person> = Vec::new();
    for _ in 0..members {
        people.push(chat.register().await?);
    }
    let room = chat.room(&people).await?;
    let mut sockets = Vec::new();
    for person in &people {
        sockets.push(chat.connect(&person.token).await?);
    }
    Ok((room, sockets))
}

/// A histogram of microseconds.
pub(crate) fn new_histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new(3)?)
}

/// Sends until the run ends, and waits until everything is acknowledged.
async fn send_all(
    run: Arc<Run>,
    room: u64,
    mut sender: Sender,
    mut receiver: Receiver,
    rooms: Rooms,
    pace: Pace,
    size: usize,
) -> Result<Histogram<u64>> {
    let mut histogram = new_histogram()?;
    let mut phase = run.phase.subscribe();
    let mut in_flight = HashMap::new();
    let mut next = 0;
    let (period, mut places) = match pace {
        Pace::Closed => (NEVER, rooms.in_flight),
        Pace::Rate(rate) => {
            let period = Duration::from_secs_f64(rooms.rooms as f64 / f64::from(rate));
            // The rooms send one after the other, not all at once.
            sleep(period.mul_f64(rand::random::<f64>())).await;
            (period, 1)
        }
    };
    let mut ticks = interval(period);
    ticks.reset();
    loop {
        let ending = matches!(run.phase(), Phase::Ending);
        while places > 0 && !ending {
            let time = run.now();
            in_flight.insert(next, time);
            sender.send(room, next, time, size).await?;
            (next, places) = (next + 1, places - 1);
        }
        if ending && in_flight.is_empty() {
            return Ok(histogram);
        }
        tokio::select! {
            received = receiver.next() => match received? {
                Received::Ack(number) => {
                    let sent = in_flight.remove(&number).ok_or("a message was acknowledged twice")?;
                    run.acknowledged.fetch_add(1, Relaxed);
                    if run.phase() == Phase::Measured {
                        histogram.record(run.now() - sent)?;
                    }
                    places += usize::from(matches!(pace, Pace::Closed));
                }
                Received::Ping => sender.pong().await?,
                Received::Delivery(_) => return Err("a sender got its own message".into()),
                Received::Other => {}
            },
            _ = ticks.tick() => places += 1,
            _ = phase.changed() => {}
        }
    }
}

/// Receives until the run has ended.
async fn receive_all(run: Arc<Run>, mut sender: Sender, mut receiver: Receiver) -> Result<Histogram<u64>> {
    let mut histogram = new_histogram()?;
    let mut phase = run.phase.subscribe();
    loop {
        tokio::select! {
            received = receiver.next() => match received? {
                Received::Delivery(sent) => {
                    run.delivered.fetch_add(1, Relaxed);
                    match run.phase() {
                        Phase::Measured => histogram.record(run.now() - sent)?,
                        Phase::Ending => run.arrived.notify_one(),
                        Phase::WarmUp | Phase::Ended => {}
                    }
                }
                Received::Ping => sender.pong().await?,
                Received::Ack(_) => return Err("somebody else's message was acknowledged".into()),
                Received::Other => {}
            },
            () = async { _ = phase.wait_for(|phase| *phase == Phase::Ended).await } => return Ok(histogram),
        }
    }
}
