#pragma once

#include "planner/answer/size.h"

namespace tunesmith::planner {

// Seconds for the whole data set; 0 where its size is not known.
double DataSetSeconds(const Prediction& prediction);

// Says of every count that has no sentence yet why it was chosen or not, then the rule of choice, and notes on the choice. REQUIRES: verdicts,
// amounts and ranks are set.
void AddSentences(const SizeQuestion& asked, SizeAnswer& answer);

}  // namespace tunesmith::planner
