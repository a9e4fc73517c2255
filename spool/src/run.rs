//! One run: lines in, work done, until the queue is drained.

use std::io::{self, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use storage_api::ErrorKind;
use storage_config::{Opened, Registry};
use storage_queue::{Queue, QueueConfig, RunningWorker, Worker, WorkerReport};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

use crate::bookmark::Bookmark;
use crate::cli::{self, RunArgs};
use crate::command::Exec;
use crate::failure::Failure;
use crate::feed::{Fed, Feeder, depth};
use crate::group::Groups;
use crate::holder::Signature;
use crate::input::{Input, Mark, Stream};
use crate::inspect::{drivers, first_dead};
use crate::output::Sink;
use crate::progress::Progress;
use crate::report::{Counts, Report};
use crate::work::{Hands, SharedHands, Work};

/// How often an item is begun where neither the command line nor the queue says it: once, and twice more after a while.
const ATTEMPTS_MAX: u32 = 3;
/// How often it is looked whether the queue is drained where nothing else says so, such as when others work on it too.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How many dead items are shown at the end.
const DEAD_SHOWN_MAX: usize = 10;

/// What a run does, whatever it does it on.
#[derive(Debug)]
pub struct Plan {
    /// The command; without one lines are looked at.
    pub exec: Option<String>,
    /// How many items are worked on at once; `None`: as many as there are processors.
    pub workers: Option<u16>,
    /// How long a lease lasts that is not extended.
    pub lease: Duration,
    /// How long a command may take.
    pub timeout: Duration,
    /// How often an item is begun; `None` leaves it to the queue.
    pub attempts_max: Option<u32>,
    /// How many items may be on their way.
    pub depth_max: u64,
    /// Whether a file that a run has finished is read again.
    pub again: bool,
    /// Whether dead items make the exit code 3.
    pub fail_on_dead: bool,
    /// Whether the report is JSON.
    pub json: bool,
}

/// `spool run`
pub async fn run(registry: &Registry, args: &RunArgs) -> Result<u8, Failure> {
    let input = Input::open(Path::new(&args.input)).map_err(Failure::usage)?;
    let opened = registry.open(&args.place.config).await?;
    let plan = Plan {
        exec: args.exec.clone(),
        workers: args.workers,
        lease: args.lease,
        timeout: args.timeout,
        attempts_max: args.max_attempts,
        depth_max: args.depth_max,
        again: args.again,
        fail_on_dead: args.fail_on_dead,
        json: args.json,
    };
    let ran = match open_queue(&opened, args).await {
        Ok(queue) => work(&queue, input, plan).await,
        Err(failure) => Err(failure),
    };
    close(&opened, ran).await
}

/// Closes the storages; why the run failed is worth more than why closing did.
async fn close(opened: &Opened, ran: Result<u8, Failure>) -> Result<u8, Failure> {
    let closed = opened.close().await;
    let code = ran?;
    closed?;
    Ok(code)
}

/// `spool`: the example, as the project ships it.
pub async fn demonstrate(registry: &Registry) -> Result<u8, Failure> {
    const CONFIG: &str = include_str!("../../examples/memory.yaml");
    const EVENTS: &[u8] = include_bytes!("../../examples/webhooks.jsonl");
    let opened = registry
        .open_str(CONFIG, ".", "examples/memory.yaml")
        .await?;
    let queue = opened.queues().await?.open("webhooks").await?;
    let input = Input::Stream {
        name: "examples/webhooks.jsonl".to_owned(),
        reader: Stream::Bytes(EVENTS),
    };
    let plan = Plan {
        exec: None,
        workers: None,
        lease: Duration::from_secs(30),
        timeout: Duration::from_secs(600),
        attempts_max: None,
        depth_max: cli::DEPTH_MAX,
        again: false,
        fail_on_dead: false,
        json: false,
    };
    let ran = work(&queue, input, plan).await;
    close(&opened, ran).await
}

async fn open_queue(opened: &Opened, args: &RunArgs) -> Result<Queue, Failure> {
    let queues = opened.queues().await?;
    let name = &args.place.queue;
    match queues.open(name).await {
        Ok(queue) => {
            let has = queue.config().partitions();
            match args.partitions {
                Some(wanted) if wanted != has => Err(Failure::usage(format!(
                    "the queue «{name}» has {has} partitions, not {wanted}; leave --partitions away, or take another queue"
                ))),
                _ => Ok(queue),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let config = QueueConfig::default()
                .with_partitions(args.partitions.unwrap_or(1))
                .map_err(|error| Failure::usage(format!("--partitions: {}", error.reason())))?;
            Ok(queues.create(name, config).await?)
        }
        Err(error) => Err(error.into()),
    }
}

async fn work(queue: &Queue, input: Input, plan: Plan) -> Result<u8, Failure> {
    let started = Instant::now();
    let progress = Progress::on_terminal();
    let say = |words: &str| say(&progress, words);
    let partitions = queue.partitions();
    let (signature, released) = Signature::sign(queue.name(), queue.metadata(), partitions).await?;
    if released > 0 {
        say(&format!(
            "{released} items that a killed run had begun are ready again"
        ));
    }
    let (bookmark, from) = find_place(queue, &input, plan.again, &say).await?;
    let (stop, stopping) = watch::channel(false);
    let groups = Groups::default();
    let interrupt = Interrupt::listen(stop.clone(), groups.clone(), progress.clone())?;

    let mut feeder = Feeder::new(partitions.to_vec(), bookmark, stopping.clone());
    feeder.depth_max = plan.depth_max;
    feeder.attempts_max = match plan.attempts_max {
        None if queue.config().partition().attempts_max() == 0 => ATTEMPTS_MAX,
        attempts_max => attempts_max.unwrap_or(0),
    };
    let (produced, ended) = (Arc::clone(&feeder.produced), Arc::clone(&feeder.ended));
    let left_before = depth(partitions).await?;
    let chunks = input.stream(from)?;
    let mut feeding = tokio::spawn(async move {
        let fed = feeder.feed(chunks).await;
        (feeder, fed)
    });
    let hands = Arc::new(Hands::new(
        work_of(&plan, &groups, &progress),
        queue.clone(),
        groups,
        stop.clone(),
    ));
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let worker = Worker::new(queue.clone(), SharedHands(Arc::clone(&hands)))
        .concurrency(plan.workers.map_or(processors, usize::from))
        .lease_for(plan.lease)
        .holder(signature.holder)
        .seed(signature.holder.get());
    // A command that has ended is not to be run again for a crash in the middle of those behind it. To look twice is no harm.
    let worker = match plan.exec {
        Some(_) => worker.settle_first().start(),
        None => worker.start(),
    };

    let mut course = Course {
        queue,
        worker,
        progress: &progress,
        left_before,
        produced: &produced,
        ended: &ended,
        stopping,
    };
    let drained = course.drain(&mut feeding).await;
    // Whatever the end was, nothing more is to be produced.
    stop.send_replace(true);
    let stopped = course.worker.stop().await;
    let fed = match drained.fed {
        Some(fed) => fed,
        None => feeding.await.ok(),
    };
    progress.finish();

    let counts = counts(&stopped.report, produced.load(Ordering::Relaxed));
    let (driver, durability) = drivers(partitions);
    let report = Report::new(driver, durability, counts, started.elapsed());
    // Where the storage has failed the report still comes.
    let dead = queue.stats().await.map(|stats| stats.dead.items);
    if counts.dead > 0 {
        show_dead(queue, *dead.as_ref().unwrap_or(&0), &say).await;
    }
    if hands.not_found() > 0 {
        say(&format!(
            "the shell did not find the command, {} times; check --exec",
            hands.not_found()
        ));
    }
    print(&report, &plan)?;
    if let Some(error) = stopped.error.or(drained.error) {
        return Err(error.into());
    }
    signature.remove().await?;
    if let Some(signal) = interrupt.signal() {
        return Ok(128 + signal);
    }
    if let Some(broken) = hands.broken() {
        return Err(Failure::broken(broken));
    }
    match fed {
        Some((feeder, Ok(Fed::Whole))) => {
            if let Some(bookmark) = feeder.bookmark {
                bookmark.finish().await?;
            }
        }
        Some((_, Ok(Fed::Cut(error)))) => return Err(Failure::broken(error)),
        Some((_, Err(failure))) => return Err(failure),
        Some((_, Ok(Fed::Stopped))) | None => {
            return Err(Failure::broken("the input was not read to its end"));
        }
    }
    let is_failed = plan.fail_on_dead && (counts.dead > 0 || dead? > 0);
    Ok(if is_failed { 3 } else { 0 })
}

fn work_of(plan: &Plan, groups: &Groups, progress: &Progress) -> Work {
    let Some(command) = &plan.exec else {
        return Work::Look;
    };
    let out = Sink::new(io::stdout(), progress.clone());
    let err = Sink::new(io::stderr(), progress.clone());
    Work::Run(Exec::new(
        command.clone(),
        plan.timeout,
        out,
        err,
        groups.clone(),
    ))
}

/// Where the input is to be read from, and what remembers it.
async fn find_place(
    queue: &Queue,
    input: &Input,
    again: bool,
    say: &impl Fn(&str),
) -> Result<(Option<Bookmark>, Mark), Failure> {
    let file = match input {
        Input::File(file) => file,
        Input::Stream { reader, .. } => {
            if !matches!(reader, Stream::Bytes(_)) {
                let name = input.name();
                say(&format!(
                    "{name} cannot be resumed: if this run is killed, start over with what was not read"
                ));
            }
            return Ok((None, Mark::default()));
        }
    };
    let mut bookmark = Bookmark::find(queue.name(), file, queue.partitions()).await?;
    if again && bookmark.is_finished() {
        bookmark.remove().await?;
    }
    let mark = bookmark.mark();
    if bookmark.is_finished() {
        let name = input.name();
        say(&format!(
            "{name} was finished by an earlier run and has not changed since; --again reads it once more"
        ));
    } else if bookmark.is_of_changed_file() {
        let name = input.name();
        say(&format!(
            "{name} has changed since a run that did not finish it: it is read from its beginning"
        ));
    } else if mark.line > 0 {
        say(&format!(
            "going on behind line {} of {}",
            mark.line,
            input.name()
        ));
    }
    Ok((Some(bookmark), mark))
}

type Feeding = tokio::task::JoinHandle<(Feeder, Result<Fed, Failure>)>;

/// A run under way.
struct Course<'a> {
    queue: &'a Queue,
    worker: RunningWorker,
    progress: &'a Progress,
    /// Items that were in the queue before.
    left_before: u64,
    produced: &'a AtomicU64,
    ended: &'a Notify,
    stopping: watch::Receiver<bool>,
}

/// Why there is nothing more to wait for.
struct Drained {
    /// How feeding ended, if it did; the inner `None`: its task is gone.
    fed: Option<Option<(Feeder, Result<Fed, Failure>)>>,
    error: Option<storage_api::Error>,
}

impl Course<'_> {
    /// Returns when the input is read and the queue is drained, or when that will not be.
    async fn drain(&mut self, feeding: &mut Feeding) -> Drained {
        let mut fed = None;
        let mut stopping = self.stopping.clone();
        loop {
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stopping| *stopping) => return Drained { fed, error: None },
                joined = &mut *feeding, if fed.is_none() => {
                    fed = Some(joined.ok());
                    let produced = self.produced.load(Ordering::Relaxed);
                    self.progress.set_total(self.left_before + produced);
                }
                () = self.worker.changed() => self.ended.notify_one(),
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            let report = self.worker.report();
            self.progress
                .set_done(report.completed + report.dead, report.dead);
            if has_ended(&self.worker).await {
                return Drained { fed, error: None };
            }
            if fed.is_some() {
                match depth(self.queue.partitions()).await {
                    Ok(0) => return Drained { fed, error: None },
                    Ok(_) => {}
                    Err(error) => {
                        return Drained {
                            fed,
                            error: Some(error),
                        };
                    }
                }
            }
        }
    }
}

async fn has_ended(worker: &RunningWorker) -> bool {
    tokio::select! {
        biased;
        () = worker.ended() => true,
        () = std::future::ready(()) => false,
    }
}

fn counts(report: &WorkerReport, produced: u64) -> Counts {
    Counts {
        produced,
        completed: report.completed,
        retried: report.retried,
        dead: report.dead,
    }
}

async fn show_dead(queue: &Queue, dead: u64, say: &impl Fn(&str)) {
    let shown = first_dead(queue, DEAD_SHOWN_MAX).await.unwrap_or_default();
    for item in &shown {
        say(&format!("dead: {item}"));
    }
    let more = dead.saturating_sub(shown.len() as u64);
    if more > 0 {
        say(&format!("dead: and {more} more"));
    }
}

/// The output of commands has standard output for itself, unless the report is for a program.
fn print(report: &Report, plan: &Plan) -> Result<(), Failure> {
    if plan.json {
        let json = serde_json::to_string(report).map_err(io::Error::other)?;
        writeln!(io::stdout(), "{json}")?;
    } else if plan.exec.is_some() {
        writeln!(io::stderr(), "{report}")?;
    } else {
        writeln!(io::stdout(), "{report}")?;
    }
    Ok(())
}

fn say(progress: &Progress, words: &str) {
    // Where standard error is closed there is nobody to tell.
    let _ = progress.suspend(|| writeln!(io::stderr(), "spool: {words}"));
}

/// What Ctrl-C and SIGTERM do: the first lets running work finish, the second ends it.
struct Interrupt {
    signal: watch::Receiver<Option<u8>>,
}

impl Interrupt {
    fn listen(stop: watch::Sender<bool>, groups: Groups, progress: Progress) -> io::Result<Self> {
        let mut interrupts = signal(SignalKind::interrupt())?;
        let mut terminations = signal(SignalKind::terminate())?;
        let (came, signal) = watch::channel(None);
        tokio::spawn(async move {
            let code = next(&mut interrupts, &mut terminations).await;
            came.send_replace(Some(code));
            stop.send_replace(true);
            say(
                &progress,
                "stopping: running work is finished, the rest is given back; Ctrl-C again kills what runs",
            );
            next(&mut interrupts, &mut terminations).await;
            groups.kill_all();
        });
        Ok(Self { signal })
    }

    /// The number of the signal that came, if one did.
    fn signal(&self) -> Option<u8> {
        *self.signal.borrow()
    }
}

async fn next(interrupts: &mut Signal, terminations: &mut Signal) -> u8 {
    const INTERRUPT: u8 = 2;
    const TERMINATE: u8 = 15;
    tokio::select! {
        _ = interrupts.recv() => INTERRUPT,
        _ = terminations.recv() => TERMINATE,
    }
}
