#pragma once

#include <string>
#include <string_view>

// Colour and pictures in what people read, decided once for the process from where stdout goes.
namespace tunesmith::client {

enum class ColorMode { kAuto, kAlways, kNever };

// Before anything is printed. kAuto: colour where stdout is a terminal, unless $NO_COLOR is set (https://no-color.org) or $TERM is "dumb".
void ChooseStyle(ColorMode mode);

// Whether bars and plots are drawn unasked: stdout is a terminal.
bool DrawsUnasked();

enum class Style { kGood, kBad };

// The text as it is, or in the style where there is colour.
std::string Styled(Style style, std::string_view text);

// In one of 8 background colours that are told apart on light and dark terminals; the text as it is where there is no colour.
std::string OnBackground(int index, std::string_view text);

}  // namespace tunesmith::client
