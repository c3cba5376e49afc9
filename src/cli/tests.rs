//! Stories for the command line.
