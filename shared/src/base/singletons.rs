//! One value of a type for all requests of a process. So the app can keep what a folder above it defines.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The values, by their types. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Singletons(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Singletons {
    /// Returns the value of a type. The first call creates it.
    pub(crate) fn get<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry(TypeId::of::<T>()).or_insert_with(|| Arc::<T>::default());
        // A value stands under its own type, so this never creates another.
        Arc::clone(value).downcast().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_caller_gets_the_same_value_of_a_type() {
        let singletons = Singletons::default();
        let (one, other) = (singletons.get::<Mutex<u8>>(), singletons.clone().get::<Mutex<u8>>());
        *one.lock().unwrap() = 7;
        assert_eq!(*other.lock().unwrap(), 7);
        assert_eq!(*singletons.get::<Mutex<u16>>().lock().unwrap(), 0);
    }
}
