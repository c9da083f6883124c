//! The memory store keeps the store contract.

use std::sync::Arc;

use meshhook_core::store::memory::MemoryStore;
use meshhook_core::testing::conformance::Subject;

meshhook_core::store_conformance!(|clock| async move { Subject::new(MemoryStore::new(Arc::new(clock))) });
