//! The ends of a backend: it is closed, its process is killed, or the power goes.

use storage_api::{Durability, Operation, StorageBackend};
use storage_model::{Contents, Model};

use super::seen::{hidden_in_model, state_of_model};
use super::{Engine, Strength, World, now};

impl<E: Engine> World<E> {
    pub(super) fn reopen(&mut self) {
        self.note("reopen".to_owned());
        now(self.backend().close()).expect("the disk works");
        self.backend = None;
        self.open();
        self.acknowledge(Strength::Synced);
        self.compare();
    }

    /// The power goes, or the process.
    pub(super) fn crash(&mut self) {
        let unsynced = self.disk.unsynced();
        let is_kill = self.dice.below(4) == 0;
        self.losses += usize::from(!is_kill);
        let survives = self.setting.survives_kill && E::KEEPS_BATCHES;
        let kept = match is_kill && survives {
            // Every batch is with the system already.
            true => unsynced,
            false => self.dice.below(unsynced + 1),
        };
        self.note(format!(
            "crash, {kept} of {unsynced} batches kept, killed {is_kill}"
        ));
        self.disk.crash(kept);
        // The dead backend notices when it is dropped, and must not mind.
        self.backend = None;
        self.open();

        let found = self.state_of_backend() + &self.hidden_in_backend();
        // A process that is killed loses nothing that was acknowledged, unless that was promised to nobody.
        let is_promised = is_kill && self.setting.durability != Durability::None;
        let candidates = match is_promised {
            true => &self.history[self.history.len() - 1..],
            false => &self.history[..],
        };
        let state = |contents: &Contents| {
            state_of_model(&mut Model::of(contents.clone())) + &hidden_in_model(contents)
        };
        let matching = candidates
            .iter()
            .rev()
            .find(|contents| state(contents) == found);
        let Some(matching) = matching else {
            let last = self.history.last().map(state).unwrap_or_default();
            panic!(
                "{}: what was found is no prefix of {} that could be\n--- found ---\n{found}\n--- the last ---\n{last}",
                self.at(),
                candidates.len()
            );
        };
        let mut contents = matching.clone();
        self.take_numbers(&mut contents);
        self.history = vec![contents.clone()];
        self.model = Model::of(contents);
        // That what is seen is that of the model was just found.
        self.verify();
    }

    /// After a crash the numbers go on where the driver says, which is behind all that anybody was shown.
    fn take_numbers(&self, contents: &mut Contents) {
        let kernel = self.backend().kernel();
        for partition in &mut contents.partitions {
            let found = kernel.find(Operation::Stats, &partition.info.id);
            let found = found.expect("the disk works").expect("it is listed");
            let next = found.try_lock().expect("nobody is inside").counters.next;
            let shown = self.shown_ids.get(&partition.info.id).copied().unwrap_or(0);
            assert!(
                next.id > shown,
                "{}: id {shown} could be given again",
                self.at()
            );
            assert!(next.id > partition.last_id && next.position > partition.last_position);
            (partition.last_id, partition.last_position) = (next.id - 1, next.position - 1);
        }
        let numbers = kernel.numbers.lock();
        let row = numbers.row();
        assert!(row.leases.last >= self.shown_lease, "{}: leases", self.at());
        assert!(
            row.versions.last >= self.shown_version,
            "{}: versions",
            self.at()
        );
        contents.last_lease = row.leases.last;
        contents.last_version = row.versions.last;
        contents.deleted_number = row.floor;
    }
}
