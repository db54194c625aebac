#pragma once

#include <cstdint>
#include <string>

#include "tunesmith/v1/events.pb.h"
#include "tunesmith/v1/measurements.pb.h"

// What jobs took, beside what was predicted of them.
namespace tunesmith::convert {

// What a job says of itself at its end. `on_cpu`: device and host are one; the trainer does not see the memory of a GPU.
v1::MeasuredFigures FiguresOf(const v1::Finished& summary, bool on_cpu);

// Figures beside the prediction of the plan that was carried out. REQUIRES: a plan that was checked.
v1::Measurement MeasurementOf(const v1::Plan& plan, const v1::MeasuredFigures& figures);

// The method of a line of FormatMix, as flags spell it; "-" for what is none.
std::string MethodOf(const std::string& mix_line);

// A step was measured, and took longer or shorter than its 90 % interval.
bool IsStepOutside(const v1::Measurement& measurement);

// Of measured steps so many left their intervals that the rates no longer hold: of 5 at least, more than 3 in 10, where 1 in 10 is expected.
bool HaveDrifted(int64_t step_count, int64_t outside_count);

}  // namespace tunesmith::convert
