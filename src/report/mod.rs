//! Results as types, and the offline HTML report made from them.
