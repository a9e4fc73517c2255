//! A place in which children work and die, and the model that goes along.

use std::collections::{HashSet, VecDeque};
use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

use storage_api::StorageBackend;
use tokio::time::Instant;

use super::child::{Heard, Phase, Task, end, locator, spawn};
use super::phases::{Kills, Phases, Share};
use super::sight::Sight;
use super::steps::{Done, Lane, Steps};
use crate::env::Env;
use crate::harness::{Harness as _, Locator, Spot};
use crate::reference::ReferenceHarness;

/// Why the story ends badly.
pub(super) type Wrong = String;

/// When a child is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Behind so many acknowledged steps, when the processor was left to others so often.
    Steps { steps: usize, yields: u32 },
    /// When that was begun so often, and a share of the time has passed that it takes. Where nobody knows that time yet, it is
    /// the next time that it begins.
    Phase {
        phase: Phase,
        times: usize,
        share: Share,
    },
}

/// What is lost when a child ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Its memory: everything acknowledged is there.
    Process,
    /// What had not reached the disk. With the promise to survive that, these can be leases and what maintain did (clause DUR-1);
    /// without it, everything since the last sync (clause DUR-4).
    Power { is_promised: bool },
}

/// A place and the model.
pub(crate) struct Story {
    steps: Steps,
    locator: Locator,
    environment: Vec<(String, String)>,
    model: Arc<dyn StorageBackend>,
    lanes: Vec<Told>,
    shown: HashSet<String>,
    phases: Phases,
}

/// One lane: how far the model is, and what was acknowledged beyond.
struct Told {
    lane: Lane,
    next: u64,
    acknowledged: VecDeque<Done>,
    /// How many of those there were when the last sync began.
    syncing: usize,
    /// How many of those were synced.
    synced: usize,
    /// The last answers, for readers.
    answers: VecDeque<String>,
}

/// So many answers are shown when a story ends badly.
const ANSWERS_MAX: usize = 12;

impl Story {
    /// A story in the place of the case, where another process can find it.
    pub(crate) async fn begin(env: &Env, steps: Steps, lanes: usize) -> Self {
        let locator = locator(env);
        let (harness, spot) = (ReferenceHarness::volatile(), Spot::new("model"));
        let place = harness.provision(&spot).await;
        let place = place.expect("the model takes no room");
        let model = place.open().await.expect("the model opens");
        let lanes = (0..lanes).map(|lane| Told {
            lane: Lane::new(steps, lane),
            next: 0,
            acknowledged: VecDeque::new(),
            syncing: 0,
            synced: 0,
            answers: VecDeque::new(),
        });
        Self {
            steps,
            locator,
            environment: Vec::new(),
            model,
            lanes: lanes.collect(),
            shown: HashSet::new(),
            phases: Phases::default(),
        }
    }

    /// Where kills fell.
    pub(super) fn kills(&self) -> &Kills {
        self.phases.kills()
    }

    /// Children get that environment, too.
    pub(super) fn with_environment(mut self, environment: Vec<(String, String)>) -> Self {
        self.environment = environment;
        self
    }

    /// Lets a child work until that many steps were acknowledged, kills it, and hears it out.
    pub(crate) async fn kill_after(&mut self, env: &Env, steps: usize) {
        let moment = Moment::Steps { steps, yields: 0 };
        let lanes = self.lanes.len();
        if let Err(wrong) = self.kill(env, lanes, None, moment).await {
            panic!("{wrong}");
        }
    }

    /// What was found is what must be there; panics where it is not.
    pub(crate) async fn judge(&mut self, found: &dyn StorageBackend) {
        if let Err(wrong) = self.compare(found, Loss::Process).await {
            panic!("{wrong}");
        }
    }

    /// Lets a child work in the first lanes, kills it at that moment, and hears it out: how many lines it said. Without a lane it
    /// only opens the place.
    pub(super) async fn kill(
        &mut self,
        env: &Env,
        lanes: usize,
        pause: Option<(Phase, u64)>,
        moment: Moment,
    ) -> Result<usize, Wrong> {
        let task = Task {
            steps: self.steps,
            next: self.lanes[..lanes].iter().map(|lane| lane.next).collect(),
            pause,
        };
        let role = serde_json::to_string(&task).expect("a task is JSON");
        let mut child = spawn(&role, &self.locator, &self.environment);
        let lines = listen(&mut child);
        self.phases.begin_child();
        let mut killing = Killing::at(moment);
        killing.strike_if_due(&mut child);
        let mut wrong = Ok(());
        let mut said = 0;
        while let Some(line) = killing.next_line(&mut child, &lines) {
            said += 1;
            env.log().begin(format_args!("child")).answer(&line);
            let heard = Heard::of(&line);
            killing.hear(&heard, &mut self.phases);
            match heard {
                Heard::Done(one) => wrong = wrong.and(self.hear(one.lane, one.number, one.done)),
                Heard::Phase(Phase::Syncing) => self.lanes.iter_mut().for_each(Told::syncs),
                Heard::Synced => self.lanes.iter_mut().for_each(Told::has_synced),
                Heard::Else => wrong = wrong.and(Err(format!("the child says: {line}"))),
                Heard::Phase(_) | Heard::Opened => {}
            }
            if wrong.is_err() {
                killing.strike(&mut child);
            }
            killing.strike_if_due(&mut child);
        }
        killing.tell(&mut self.phases);
        let is_killed = killing.is_over;
        end(&mut child);
        if !is_killed && wrong.is_ok() && lanes > 0 {
            wrong = Err("the child ended before it was killed".to_owned());
        }
        wrong.map(|()| said)
    }

    fn hear(&mut self, lane: usize, number: u64, done: Done) -> Result<(), Wrong> {
        let told = &mut self.lanes[lane];
        let expected = told.next + told.acknowledged.len() as u64;
        if number != expected {
            return Err(format!("lane {lane} does step {number}, not {expected}"));
        }
        for shown in &done.shown {
            if !self.shown.insert(shown.clone()) {
                return Err(format!(
                    "{shown} was given before, perhaps by a process that was killed since"
                ));
            }
        }
        if told.answers.len() == ANSWERS_MAX {
            told.answers.pop_front();
        }
        told.answers
            .push_back(format!("\n  step {number}, {}", done.answer));
        told.acknowledged.push_back(done);
        Ok(())
    }

    /// The state of every lane is that behind some step which comes behind all that must have been kept: the last one that was
    /// acknowledged, or the one that was under way.
    pub(super) async fn compare(
        &mut self,
        found: &dyn StorageBackend,
        loss: Loss,
    ) -> Result<(), Wrong> {
        for (index, told) in self.lanes.iter_mut().enumerate() {
            let sight = Sight::look(found, self.steps, index).await;
            let sight = sight.map_err(|error| format!("a look is refused: {error}"))?;
            let last = told.next + told.acknowledged.len() as u64;
            let kept = match loss {
                Loss::Process => told.acknowledged.len(),
                Loss::Power { is_promised } => {
                    let mut kept = told.acknowledged.iter();
                    let binding = kept.rposition(|done| is_promised && done.binds());
                    told.synced.max(binding.map_or(0, |last| last + 1))
                }
            };
            for _ in 0..kept {
                told.advance(&*self.model).await?;
            }
            let mut differences = String::new();
            loop {
                let expected = Sight::look(&*self.model, self.steps, index).await;
                let expected = expected.expect("the model can be looked at");
                if sight == expected {
                    break;
                }
                differences += &format!(
                    "\n  behind step {}: {}",
                    told.next.wrapping_sub(1),
                    sight.difference(&expected)
                );
                if told.next > last {
                    return Err(format!(
                        "in lane {index}, what is found is not the state behind any step that it can be: \
                         {last} were acknowledged{differences}\nthe last answers:{}",
                        Vec::from(told.answers.clone()).concat()
                    ));
                }
                told.advance(&*self.model).await?;
            }
            // What was under way and is there is as good as acknowledged; what is not there never was.
            told.acknowledged.clear();
            (told.syncing, told.synced) = (0, 0);
        }
        Ok(())
    }
}

impl Told {
    fn syncs(&mut self) {
        self.syncing = self.acknowledged.len();
    }

    fn has_synced(&mut self) {
        self.synced = self.syncing;
    }

    /// Does the next step on the model, whose answer is the one that the child was given.
    async fn advance(&mut self, model: &dyn StorageBackend) -> Result<(), Wrong> {
        let number = self.next;
        let done = self.lane.step(model, number).await;
        let expected = done.expect("the model does every step").answer;
        self.next += 1;
        match self.acknowledged.pop_front() {
            Some(done) if done.answer != expected => Err(format!(
                "step {number} was answered otherwise than by the model\n  driver: {}\n  model:  {expected}",
                done.answer
            )),
            _ => Ok(()),
        }
    }
}

/// A child on its way to the moment when it is killed.
struct Killing {
    moment: Moment,
    /// How often the sign was heard.
    signs: usize,
    /// When it is to be killed in the phase that has begun.
    due: Option<Instant>,
    is_over: bool,
    /// Whether it has said more since the sign.
    has_gone_on: bool,
}

impl Killing {
    fn at(moment: Moment) -> Self {
        Self {
            moment,
            signs: 0,
            due: None,
            is_over: false,
            has_gone_on: false,
        }
    }

    fn strike(&mut self, child: &mut Child) {
        if !self.is_over {
            self.is_over = true;
            end(child);
        }
    }

    fn strike_if_due(&mut self, child: &mut Child) {
        match self.moment {
            Moment::Steps { steps, yields } if self.signs >= steps && !self.is_over => {
                for _ in 0..yields {
                    std::thread::yield_now();
                }
                self.strike(child);
            }
            Moment::Phase { .. } if self.due.is_some_and(|due| due <= Instant::now()) => {
                self.strike(child);
            }
            _ => {}
        }
    }

    /// What the child says next, while it is killed in time; `None` when it has said everything.
    fn next_line(&mut self, child: &mut Child, lines: &Receiver<String>) -> Option<String> {
        if let (Some(due), false) = (self.due, self.is_over) {
            match lines.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(line) => return Some(line),
                Err(RecvTimeoutError::Timeout) => self.strike(child),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        // What it had said before it was killed is still on its way.
        lines.recv().ok()
    }

    fn hear(&mut self, heard: &Heard, phases: &mut Phases) {
        self.has_gone_on |= self.due.is_some();
        if !self.is_over {
            phases.hear(heard, Instant::now());
        }
        match (self.moment, heard) {
            (Moment::Steps { .. }, Heard::Done(_)) => self.signs += 1,
            (
                Moment::Phase {
                    phase,
                    times,
                    share,
                },
                Heard::Phase(begun),
            ) if phase == *begun && self.due.is_none() => {
                self.signs += 1;
                let waits = phases.share_of(phase, share);
                self.due = waits
                    .filter(|_| self.signs >= times)
                    .map(|waits| Instant::now() + waits);
            }
            _ => {}
        }
    }

    /// Counts where the kill fell.
    fn tell(&self, phases: &mut Phases) {
        if let (Moment::Phase { phase, .. }, Some(_), true) = (self.moment, self.due, self.is_over)
        {
            phases.count_kill(phase, self.has_gone_on);
        }
    }
}

/// The lines of a child as they come, until it has ended.
fn listen(child: &mut Child) -> Receiver<String> {
    let output = child.stdout.take().expect("its output is a pipe");
    let (heard, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let line = line.expect("the output of the child is text");
            if heard.send(line).is_err() {
                // Nobody listens any more.
                return;
            }
        }
    });
    lines
}
