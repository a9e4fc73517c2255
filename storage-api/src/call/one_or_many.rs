//! A list that allocates nothing for one entry: most calls are about one item.

use std::ops::Deref;

/// One entry in place, or any number of them in a vector.
#[derive(Debug, Clone)]
pub(super) enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    pub(super) fn push(&mut self, entry: T) {
        match self {
            Self::Many(list) if list.capacity() == 0 => *self = Self::One(entry),
            Self::Many(list) => list.push(entry),
            Self::One(_) => {
                let mut list = Vec::with_capacity(4);
                if let Self::One(first) = std::mem::take(self) {
                    list.push(first);
                }
                list.push(entry);
                *self = Self::Many(list);
            }
        }
    }

    /// Makes room for that many entries more.
    pub(super) fn reserve(&mut self, entries: usize) {
        match self {
            Self::Many(list) if list.capacity() > 0 || entries > 1 => list.reserve(entries),
            Self::Many(_) => {}
            Self::One(_) if entries == 0 => {}
            Self::One(_) => {
                let mut list = Vec::with_capacity(entries + 1);
                if let Self::One(first) = std::mem::take(self) {
                    list.push(first);
                }
                *self = Self::Many(list);
            }
        }
    }

    pub(super) fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(entry) => vec![entry],
            Self::Many(list) => list,
        }
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(list) => list,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_a_vector_would_hold() {
        for reserved in [0, 1, 5] {
            let mut list = OneOrMany::default();
            assert!(list.is_empty());
            for entry in 0..10 {
                list.reserve(reserved);
                list.push(entry);
                assert_eq!(list.len(), entry + 1);
            }
            assert_eq!(list.into_vec(), (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn one_entry_stands_in_place() {
        let mut list = OneOrMany::default();
        list.reserve(1);
        list.push(7);

        assert!(matches!(list, OneOrMany::One(7)));
    }
}
