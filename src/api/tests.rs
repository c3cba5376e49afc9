//! Stories for the API.
