// One processing element: multiply, accumulate, requantize with TFLite's double rounding.
//
// A sum starts at the bias (`load`) and takes one product a clock (`step`). The requantizer is
// combinational; its stages are ports, so that a bench can compare each of them.

`default_nettype none

module mac #(
    parameter X_BITS = 9,
    parameter W_BITS = 8,
    parameter ACC_BITS = 32,
    parameter SATURATE = 0
) (
    input wire clk,
    input wire load,
    input wire step,
    input wire signed [31:0] bias,
    input wire signed [X_BITS-1:0] x,
    input wire signed [W_BITS-1:0] w,
    output reg signed [ACC_BITS-1:0] acc
);
    // One bit more than the widest of what is added: no sum overflows before it is fitted.
    localparam PRODUCT_BITS = X_BITS + W_BITS;
    localparam WIDE = (PRODUCT_BITS > ACC_BITS ? PRODUCT_BITS : ACC_BITS) + 32;
    localparam signed [WIDE-1:0] LARGEST = {{(WIDE - ACC_BITS + 1) {1'b0}}, {(ACC_BITS - 1) {1'b1}}};
    localparam signed [WIDE-1:0] LEAST = ~LARGEST;

    wire signed [PRODUCT_BITS-1:0] product = x * w;
    wire signed [WIDE-1:0] added = acc + product;
    wire signed [WIDE-1:0] started = bias;
    wire signed [WIDE-1:0] total = load ? started : added;

    always @(posedge clk) begin
        if (load || step) begin
            if (SATURATE != 0 && total > LARGEST) acc <= LARGEST[ACC_BITS-1:0];
            else if (SATURATE != 0 && total < LEAST) acc <= LEAST[ACC_BITS-1:0];
            else acc <= total[ACC_BITS-1:0];
        end
    end
endmodule

// y = clamp(acc * multiplier * 2^(shift - 31) + zero_point), rounded at bit 31 (ties up) and again
// at -shift (ties away from zero): gemmlowp's SRDHM and RDBPOT.
module requantize #(
    parameter ACC_BITS = 32,
    parameter OUT_BITS = 8
) (
    input wire signed [ACC_BITS-1:0] acc,
    input wire signed [31:0] multiplier,
    input wire signed [7:0] shift,
    input wire signed [31:0] zero_point,
    input wire signed [31:0] low,
    input wire signed [31:0] high,
    output wire signed [31:0] shifted,
    output wire signed [31:0] upper,
    output wire signed [31:0] rounded,
    output wire signed [OUT_BITS-1:0] y
);
    wire signed [31:0] value = acc;
    wire [4:0] left = shift > 0 ? shift[4:0] : 5'd0;
    assign shifted = value <<< left;

    wire signed [63:0] product = shifted * multiplier;
    wire signed [63:0] nudged = product + 64'sd1073741824;
    wire both_least = shifted == 32'sh80000000 && multiplier == 32'sh80000000;
    assign upper = both_least ? 32'sh7fffffff : nudged[62:31];

    wire [7:0] negated = -shift;
    wire [4:0] right = shift < 0 ? negated[4:0] : 5'd0;
    wire [31:0] mask = (32'd1 << right) - 32'd1;
    wire [31:0] remainder = upper & mask;
    wire [31:0] threshold = (mask >> 1) + {31'd0, upper[31]};
    wire signed [31:0] floored = upper >>> right;
    wire signed [31:0] nudge = {31'd0, remainder > threshold};
    assign rounded = floored + nudge;

    wire signed [32:0] offset = rounded + zero_point;
    wire signed [32:0] clamped = offset < low ? low : offset > high ? high : offset;
    assign y = clamped[OUT_BITS-1:0];
endmodule

module mac_requantize #(
    parameter X_BITS = 9,
    parameter W_BITS = 8,
    parameter ACC_BITS = 32,
    parameter SATURATE = 0,
    parameter OUT_BITS = 8
) (
    input wire clk,
    input wire load,
    input wire step,
    input wire signed [31:0] bias,
    input wire signed [X_BITS-1:0] x,
    input wire signed [W_BITS-1:0] w,
    input wire signed [31:0] multiplier,
    input wire signed [7:0] shift,
    input wire signed [31:0] zero_point,
    input wire signed [31:0] low,
    input wire signed [31:0] high,
    output wire signed [ACC_BITS-1:0] acc,
    output wire signed [31:0] shifted,
    output wire signed [31:0] upper,
    output wire signed [31:0] rounded,
    output wire signed [OUT_BITS-1:0] y
);
    mac #(
        .X_BITS(X_BITS),
        .W_BITS(W_BITS),
        .ACC_BITS(ACC_BITS),
        .SATURATE(SATURATE)
    ) element (
        .clk(clk),
        .load(load),
        .step(step),
        .bias(bias),
        .x(x),
        .w(w),
        .acc(acc)
    );

    requantize #(
        .ACC_BITS(ACC_BITS),
        .OUT_BITS(OUT_BITS)
    ) scaler (
        .acc(acc),
        .multiplier(multiplier),
        .shift(shift),
        .zero_point(zero_point),
        .low(low),
        .high(high),
        .shifted(shifted),
        .upper(upper),
        .rounded(rounded),
        .y(y)
    );
endmodule

`default_nettype wire
