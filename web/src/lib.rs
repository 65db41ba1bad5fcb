//! The page and the JavaScript SDK of Visavis, embedded.
