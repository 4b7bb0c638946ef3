"""Why a request for memory did not fit, what to change, and whether other settings would have helped."""
